package main

import (
	"context"
	"encoding/json"

	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/ssa"
	"github.com/fluxcd/pkg/ssa/jsondiff"
	"github.com/fluxcd/pkg/ssa/normalize"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	fluxManager = "kustomize-controller"
	fluxGroup   = "kustomize.toolkit.fluxcd.io"
)

type fluxRequest struct {
	Kubeconfig string `json:"kubeconfig"`
	Name       string `json:"name"`
	Namespace  string `json:"namespace"`
	Ignore     []struct {
		Paths  []string            `json:"paths"`
		Target *kustomize.Selector `json:"target"`
	} `json:"ignore"`
	Objects []*unstructured.Unstructured `json:"objects"`
}

// fluxSync reconciles once as the kustomize-controller does, and answers what was done by object.
func fluxSync(ctx context.Context, body *json.Decoder) (any, error) {
	var request fluxRequest
	if err := body.Decode(&request); err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", request.Kubeconfig)
	if err != nil {
		return nil, err
	}
	config.UserAgent = fluxManager
	connected, err := client.New(config, client.Options{})
	if err != nil {
		return nil, err
	}
	manager := ssa.NewResourceManager(connected, nil, ssa.Owner{Field: fluxManager, Group: fluxGroup})
	if err := normalize.UnstructuredList(request.Objects); err != nil {
		return nil, err
	}
	manager.SetOwnerLabels(request.Objects, request.Name, request.Namespace)
	changes, err := manager.ApplyAll(ctx, request.Objects, fluxOptions(request))
	if err != nil {
		return nil, err
	}
	done := map[string]string{}
	for _, entry := range changes.Entries {
		done[entry.Subject] = string(entry.Action)
	}
	return done, nil
}

// fluxOptions are those of kustomize-controller 1.9, internal/controller/kustomization_controller.go, by its defaults.
func fluxOptions(request fluxRequest) ssa.ApplyOptions {
	options := ssa.DefaultApplyOptions()
	options.ExclusionSelector = map[string]string{fluxGroup + "/reconcile": "disabled", fluxGroup + "/ssa": "Ignore"}
	options.IfNotPresentSelector = map[string]string{fluxGroup + "/ssa": "IfNotPresent"}
	options.ForceSelector = map[string]string{fluxGroup + "/force": "enabled"}
	for _, rule := range request.Ignore {
		made := jsondiff.IgnoreRule{Paths: rule.Paths}
		if target := rule.Target; target != nil {
			made.Selector = &jsondiff.Selector{
				Group: target.Group, Version: target.Version, Kind: target.Kind, Name: target.Name,
				Namespace: target.Namespace, AnnotationSelector: target.AnnotationSelector,
				LabelSelector: target.LabelSelector,
			}
		}
		options.DriftIgnoreRules = append(options.DriftIgnoreRules, made)
	}
	options.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{corev1.LastAppliedConfigAnnotation},
		FieldManagers: []ssa.FieldManager{
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: fluxManager, OperationType: metav1.ManagedFieldsOperationUpdate},
		},
		Exclusions: map[string]string{fluxGroup + "/ssa": "Merge"},
	}
	return options
}
