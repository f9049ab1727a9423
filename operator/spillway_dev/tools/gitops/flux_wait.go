package main

import (
	"context"
	"encoding/json"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

type waitRequest struct {
	Checks  []kustomize.CustomHealthCheck `json:"healthCheckExprs"`
	Objects []*unstructured.Unstructured  `json:"objects"`
}

type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
	Error   string `json:"error,omitempty"`
}

type waitAnswer struct {
	Supported bool    `json:"supported"`
	Checked   verdict `json:"checked"`
	Kstatus   verdict `json:"kstatus"`
}

// fluxWait tells what Flux makes of each object: by a Kustomization's healthCheckExprs, and by kstatus alone.
func fluxWait(ctx context.Context, body *json.Decoder) (any, error) {
	var request waitRequest
	if err := body.Decode(&request); err != nil {
		return nil, err
	}
	makeReader, err := cel.NewStatusReader(request.Checks)
	if err != nil {
		return nil, err
	}
	answers := make([]waitAnswer, 0, len(request.Objects))
	for _, object := range request.Objects {
		kind := object.GroupVersionKind()
		mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{kind.GroupVersion()})
		mapper.Add(kind, meta.RESTScopeNamespace)
		reader := makeReader(mapper)
		answer := waitAnswer{Supported: reader.Supports(kind.GroupKind()), Kstatus: computed(object)}
		if answer.Supported {
			found, err := reader.ReadStatusForObject(ctx, nil, object)
			if err != nil {
				return nil, err
			}
			answer.Checked = verdict{Status: string(found.Status), Message: found.Message}
			if found.Error != nil {
				answer.Checked.Error = found.Error.Error()
			}
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

func computed(object *unstructured.Unstructured) verdict {
	found, err := status.Compute(object)
	if err != nil {
		return verdict{Status: string(status.UnknownStatus), Error: err.Error()}
	}
	return verdict{Status: string(found.Status), Message: found.Message}
}
