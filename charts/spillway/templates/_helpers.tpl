{{- define "spillway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "spillway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "spillway.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "spillway.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "spillway.selectorLabels" -}}
app.kubernetes.io/name: {{ include "spillway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "spillway.labels" -}}
{{ include "spillway.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "spillway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "spillway.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "spillway.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "spillway.emergencyStopName" -}}
{{- dig "emergencyStop" "name" "spillway-emergency-stop" .Values.config -}}
{{- end -}}

{{- define "spillway.emergencyStopNamespace" -}}
{{- dig "emergencyStop" "namespace" "" .Values.config | default .Release.Namespace -}}
{{- end -}}

{{- define "spillway.recordingDirectory" -}}/var/lib/spillway/recording{{- end -}}

{{/* The configuration file: the values under `config`, and what the chart itself decides. */}}
{{- define "spillway.config" -}}
{{- $_ := required "config.prometheus.url is required: the address of the Prometheus that scrapes engines and gateways" .Values.config.prometheus.url -}}
{{- $own := dict "namespaces" .Values.namespaces "operatorNamespace" .Release.Namespace "httpPort" 8080 -}}
{{- if .Values.recording.enabled -}}
{{- $_ := set $own "recording" (dict "directory" (include "spillway.recordingDirectory" .) "maxMegabytes" (int .Values.recording.maxMegabytes)) -}}
{{- end -}}
{{- mergeOverwrite (deepCopy .Values.config) $own | toYaml -}}
{{- end -}}

{{/* What the operator needs in the namespaces that it works in. */}}
{{- define "spillway.rules" -}}
- apiGroups: [spillway.dev]
  resources: [workloadclasses, capacitylanes, capacityplans]
  verbs: [get, list, watch]
# Structural changes are proposed in either mode, and changed by nobody: there is no verb that edits one.
- apiGroups: [spillway.dev]
  resources: [lanechanges]
  verbs: [get, list, watch, create, propose, delete]
- apiGroups: [spillway.dev]
  resources: [workloadclasses/status, capacitylanes/status, capacityplans/status, lanechanges/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
- apiGroups: [apps]
  resources: [deployments, replicasets, statefulsets]
  verbs: [get, list]
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale]
  verbs: [get]
- apiGroups: [leaderworkerset.x-k8s.io]
  resources: [leaderworkersets]
  verbs: [get, list]
- apiGroups: [leaderworkerset.x-k8s.io]
  resources: [leaderworkersets/scale]
  verbs: [get]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list]
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [list]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list]
- apiGroups: [gateway.envoyproxy.io]
  resources: [backends, backendtrafficpolicies]
  verbs: [list]
- apiGroups: [aigateway.envoyproxy.io]
  resources: [aigatewayroutes]
  verbs: [get, list]
- apiGroups: [aigateway.envoyproxy.io]
  resources: [aiservicebackends]
  verbs: [list]
{{- with .Values.rbac.litellm.configMaps }}
# The configurations of LiteLLM proxies, by name.
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: {{ toJson . }}
  verbs: {{ ternary "[get, patch]" "[get]" (eq $.Values.rbac.mode "apply") }}
{{- end }}
{{- if .Values.namespaces }}
# The namespace's own object: the emergency stop is an annotation on it.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end }}
{{- range .Values.rbac.extraTargets }}
- apiGroups: [{{ .apiGroup | quote }}]
  resources: [{{ .resource | quote }}]
  verbs: [get, list]
- apiGroups: [{{ .apiGroup | quote }}]
  resources: [{{ printf "%s/scale" .resource | quote }}]
  verbs: [get]
{{- end }}
{{- if eq .Values.rbac.mode "apply" }}
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale]
  verbs: [patch]
- apiGroups: [leaderworkerset.x-k8s.io]
  resources: [leaderworkersets/scale]
  verbs: [patch]
# The baseline annotation, which `spillway release --restore` goes back to.
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [patch]
- apiGroups: [leaderworkerset.x-k8s.io]
  resources: [leaderworkersets]
  verbs: [patch]
# controller.kubernetes.io/pod-deletion-cost: the least loaded pod goes first.
- apiGroups: [""]
  resources: [pods]
  verbs: [patch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [create, patch]
# The policy of a generated route: room for its requests and, in Spill mode, a hosted lane for what own ones refuse.
- apiGroups: [gateway.envoyproxy.io]
  resources: [backendtrafficpolicies]
  verbs: [create, patch]
- apiGroups: [aigateway.envoyproxy.io]
  resources: [aigatewayroutes]
  verbs: [create, patch]
{{- range .Values.rbac.extraTargets }}
- apiGroups: [{{ .apiGroup | quote }}]
  resources: [{{ .resource | quote }}, {{ printf "%s/scale" .resource | quote }}]
  verbs: [patch]
{{- end }}
{{- end }}
{{- end -}}

{{- define "spillway.clusterRules" -}}
- apiGroups: [""]
  resources: [namespaces, nodes]
  verbs: [get, list]
- apiGroups: [apiextensions.k8s.io]
  resources: [customresourcedefinitions]
  verbs: [get, list]
{{- end -}}
