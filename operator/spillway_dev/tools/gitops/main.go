// Command gitops runs what Argo CD and Flux do to objects, by their own libraries, without either of them: a request as
// JSON on stdin, the answer as JSON on stdout.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
)

// A command decodes its request from `body` and returns what is to be answered.
var commands = map[string]func(ctx context.Context, body *json.Decoder) (any, error){
	"argo-lua":  argoLua,
	"argo-sync": argoSync,
	"flux-wait": fluxWait,
	"flux-sync": fluxSync,
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 || commands[os.Args[1]] == nil {
		return fmt.Errorf("usage: gitops argo-lua|argo-sync|flux-wait|flux-sync <request.json")
	}
	answer, err := commands[os.Args[1]](context.Background(), json.NewDecoder(os.Stdin))
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(answer)
}
