package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
	luajson "layeh.com/gopher-json"
)

type luaRequest struct {
	Script  string           `json:"script"`
	Objects []map[string]any `json:"objects"`
}

type luaAnswer struct {
	Value json.RawMessage `json:"value,omitempty"`
	Error string          `json:"error,omitempty"`
}

// argoLua runs a script on each object by Argo CD's interpreter.
func argoLua(ctx context.Context, body *json.Decoder) (any, error) {
	var request luaRequest
	if err := body.Decode(&request); err != nil {
		return nil, err
	}
	answers := make([]luaAnswer, 0, len(request.Objects))
	for _, object := range request.Objects {
		value, err := runLua(ctx, request.Script, object)
		if err != nil {
			answers = append(answers, luaAnswer{Error: err.Error()})
			continue
		}
		answers = append(answers, luaAnswer{Value: value})
	}
	return answers, nil
}

// runLua opens the libraries that argo-cd 3.5's util/lua/lua.go opens by default, but for its `os` of two functions.
func runLua(ctx context.Context, script string, object map[string]any) (json.RawMessage, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		call := lua.P{Fn: state.NewFunction(open), NRet: 0, Protect: true}
		if err := state.CallByParam(call, lua.LString(name)); err != nil {
			return nil, err
		}
	}
	limited, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	state.SetContext(limited)
	state.SetGlobal("obj", luaValue(state, object))
	if err := state.DoString(script); err != nil {
		return nil, err
	}
	returned := state.Get(-1)
	if returned.Type() != lua.LTTable {
		return nil, fmt.Errorf("expect table output from Lua script, not %s", returned.Type())
	}
	return luajson.Encode(returned)
}

func luaValue(state *lua.LState, value any) lua.LValue {
	switch converted := value.(type) {
	case bool:
		return lua.LBool(converted)
	case float64:
		return lua.LNumber(converted)
	case string:
		return lua.LString(converted)
	case []any:
		table := state.CreateTable(len(converted), 0)
		for _, item := range converted {
			table.Append(luaValue(state, item))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(converted))
		for key, item := range converted {
			table.RawSetH(lua.LString(key), luaValue(state, item))
		}
		return table
	}
	return lua.LNil
}
