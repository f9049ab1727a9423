package main

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/argoproj/argo-cd/v3/util/argo/managedfields"
	jsonpatch "github.com/evanphx/json-patch"
	"github.com/itchyny/gojq"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

type ignoreDifferences struct {
	Group    string   `json:"group"`
	Kind     string   `json:"kind"`
	Pointers []string `json:"jsonPointers"`
	Paths    []string `json:"jqPathExpressions"`
	Managers []string `json:"managedFieldsManagers"`
}

type argoRequest struct {
	Kubeconfig string                       `json:"kubeconfig"`
	Ignore     []ignoreDifferences          `json:"ignoreDifferences"`
	Targets    []*unstructured.Unstructured `json:"targets"`
	Lives      []*unstructured.Unstructured `json:"lives"`
}

type argoAnswer struct {
	// What is handed to kubectl apply, with RespectIgnoreDifferences=true.
	Target *unstructured.Unstructured `json:"target"`
	// Both sides without what is ignored: what Argo CD compares.
	NormalizedTarget *unstructured.Unstructured `json:"normalizedTarget"`
	NormalizedLive   *unstructured.Unstructured `json:"normalizedLive"`
}

// argoSync works out what Argo CD would apply for each target. The steps are those of argo-cd 3.5: preDiffNormalize and
// Normalize in util/argo/diff, then normalizeTargetResources in controller/sync.go. Ownership is read by Argo CD's own
// package managedfields; the packages around it can't be imported without its whole server, so they are retold here.
func argoSync(_ context.Context, body *json.Decoder) (any, error) {
	var request argoRequest
	if err := body.Decode(&request); err != nil {
		return nil, err
	}
	if len(request.Targets) != len(request.Lives) {
		return nil, fmt.Errorf("%d targets, but %d live objects", len(request.Targets), len(request.Lives))
	}
	types, err := parseableTypes(request.Kubeconfig)
	if err != nil {
		return nil, err
	}
	answers := make([]argoAnswer, 0, len(request.Targets))
	for i, target := range request.Targets {
		answer, err := respected(request.Ignore, target, request.Lives[i], types)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", target.GetKind(), target.GetName(), err)
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

func respected(
	rules []ignoreDifferences, target, live *unstructured.Unstructured, types typeLookup,
) (argoAnswer, error) {
	if live == nil {
		return argoAnswer{Target: target}, nil
	}
	normalLive, normalTarget := live.DeepCopy(), target.DeepCopy()
	for _, rule := range rules {
		if !rule.matches(target) {
			continue
		}
		var err error
		if normalLive, normalTarget, err = rule.normalize(normalLive, normalTarget, types); err != nil {
			return argoAnswer{}, err
		}
	}
	patched, err := withLiveValues(target, normalTarget, live, normalLive)
	return argoAnswer{Target: patched, NormalizedTarget: normalTarget, NormalizedLive: normalLive}, err
}

func (rule ignoreDifferences) matches(object *unstructured.Unstructured) bool {
	kind := object.GroupVersionKind()
	return rule.Group == kind.Group && rule.Kind == kind.Kind
}

func (rule ignoreDifferences) normalize(
	live, target *unstructured.Unstructured, types typeLookup,
) (*unstructured.Unstructured, *unstructured.Unstructured, error) {
	if len(rule.Managers) > 0 {
		var parseable *typed.ParseableType = types(target)
		newLive, newTarget, err := managedfields.Normalize(live, target, rule.Managers, parseable)
		if err != nil {
			return nil, nil, err
		}
		live, target = newLive, newTarget
	}
	for _, object := range []*unstructured.Unstructured{live, target} {
		for _, pointer := range rule.Pointers {
			if err := removePointer(object, pointer); err != nil {
				return nil, nil, err
			}
		}
		for _, path := range rule.Paths {
			if err := removePath(object, path); err != nil {
				return nil, nil, err
			}
		}
	}
	return live, target, nil
}

func removePointer(object *unstructured.Unstructured, pointer string) error {
	data, err := json.Marshal([]map[string]string{{"op": "remove", "path": pointer}})
	if err != nil {
		return err
	}
	patch, err := jsonpatch.DecodePatch(data)
	if err != nil {
		return err
	}
	document, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	patched, err := patch.Apply(document)
	if err != nil {
		// Nothing there to ignore.
		return nil
	}
	return object.UnmarshalJSON(patched)
}

func removePath(object *unstructured.Unstructured, path string) error {
	query, err := gojq.Parse(fmt.Sprintf("del(%s)", path))
	if err != nil {
		return err
	}
	document, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	plain := map[string]any{}
	if err := json.Unmarshal(document, &plain); err != nil {
		return err
	}
	first, _ := query.Run(plain).Next()
	if err, failed := first.(error); failed {
		return err
	}
	patched, err := json.Marshal(first)
	if err != nil {
		return err
	}
	return object.UnmarshalJSON(patched)
}

// withLiveValues is the target with the ignored fields as they are in the cluster.
func withLiveValues(target, normalTarget, live, normalLive *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	live, withoutIgnored := live.DeepCopy(), normalLive.DeepCopy()
	unstructured.RemoveNestedField(live.Object, "status")
	unstructured.RemoveNestedField(withoutIgnored.Object, "status")
	versioned, err := scheme.Scheme.New(normalTarget.GroupVersionKind())
	if err != nil {
		versioned = nil
	}
	patch, err := mergePatch(withoutIgnored, live, versioned)
	if err != nil {
		return nil, err
	}
	patched, err := applyPatch(normalTarget, patch, versioned)
	if err != nil {
		return nil, err
	}
	restore(patched.Object, target.Object, normalTarget.Object, normalLive.Object)
	return patched, nil
}

func mergePatch(original, modified *unstructured.Unstructured, versioned runtime.Object) ([]byte, error) {
	before, err := original.MarshalJSON()
	if err != nil {
		return nil, err
	}
	after, err := modified.MarshalJSON()
	if err != nil {
		return nil, err
	}
	if versioned == nil {
		return jsonpatch.CreateMergePatch(before, after)
	}
	meta, err := strategicpatch.NewPatchMetaFromStruct(versioned)
	if err != nil {
		return nil, err
	}
	return strategicpatch.CreateThreeWayMergePatch(after, after, before, meta, true)
}

func applyPatch(object *unstructured.Unstructured, patch []byte, versioned runtime.Object) (*unstructured.Unstructured, error) {
	document, err := object.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var patched []byte
	if versioned == nil {
		patched, err = jsonpatch.MergePatch(document, patch)
	} else {
		patched, err = strategicpatch.StrategicMergePatch(document, patch, versioned)
	}
	if err != nil {
		return nil, err
	}
	made := &unstructured.Unstructured{}
	return made, made.UnmarshalJSON(patched)
}

// restore takes back what a merge of a whole parent has changed beside the ignored fields.
func restore(patched, original, normalTarget, normalLive map[string]any) {
	for key, wanted := range original {
		have, inPatched := patched[key]
		normal, inNormal := normalTarget[key]
		haveMap, haveIs := have.(map[string]any)
		wantedMap, wantedIs := wanted.(map[string]any)
		normalMap, normalIs := normal.(map[string]any)
		if inPatched && haveIs && wantedIs && normalIs {
			liveMap, _ := normalLive[key].(map[string]any)
			restore(haveMap, wantedMap, normalMap, liveMap)
			continue
		}
		if inNormal && reflect.DeepEqual(normal, wanted) && (!inPatched || !reflect.DeepEqual(have, wanted)) {
			patched[key] = wanted
		}
	}
	for key := range patched {
		_, inOriginal := original[key]
		if _, inLive := normalLive[key]; !inOriginal && inLive {
			delete(patched, key)
		}
	}
}
