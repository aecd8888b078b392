{{/* Name of the objects: that of the release, with "meshway" appended if it does not contain it. */}}
{{- define "meshway.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride }}
{{- else if contains "meshway" .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-meshway" (.Release.Name | trunc 44 | trimSuffix "-") }}
{{- end }}
{{- end }}

{{/* Of the agents on nodes that are no gateways, and of the data plane. */}}
{{- define "meshway.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "meshway.fullname" .) }}
{{- end }}

{{- define "meshway.gatewayServiceAccount" -}}
{{ .Values.serviceAccount.gatewayName | default (printf "%s-gateway" (include "meshway.fullname" .)) }}
{{- end }}

{{/* Secret with the shared state of the gateways. */}}
{{- define "meshway.identitySecret" -}}
{{ include "meshway.fullname" . }}-identity
{{- end }}

{{/* Labels that select pods; they must not change. */}}
{{- define "meshway.selector" -}}
app.kubernetes.io/name: meshway
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "meshway.labels" -}}
{{ include "meshway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: meshway
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "meshway.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository .Values.image.tag }}
{{- end }}
{{- end }}

{{/* meshd.yaml. Keys of the chart override those of values.config. */}}
{{- define "meshway.config" -}}
{{- $config := dict }}
{{- range $section, $keys := .Values.config }}
{{- if $keys }}{{ $_ := set $config $section (deepCopy $keys) }}{{ end }}
{{- end }}
{{- $_ := set $config "datacenter" .Values.datacenter.name }}
{{- $_ := set $config "wireguard" (merge (dict "dataplane" .Values.dataplane) (get $config "wireguard" | default dict)) }}
{{- $_ := set $config "metrics" (dict "listen" (include "meshway.metricsListen" .)) }}
{{- if .Values.catalog.tokensSecret.name }}
{{- $_ := set $config "catalog" (dict "listen" (printf "127.0.0.1:%d" (int .Values.catalog.port)) "tokens" "/run/secrets/meshway-catalog/tokens") }}
{{- end }}
{{- if .Values.join.tokenSecret.name }}
{{- $_ := set $config "join" (dict "tokenFile" "/run/secrets/meshway/token") }}
{{- end }}
{{- $kubernetes := dict "enabled" true "announceNodes" .Values.discovery.announceNodes "gatewayLabel" .Values.gateways.label "identitySecret" (include "meshway.identitySecret" .) }}
{{- with .Values.discovery.podCIDRs }}{{ $_ := set $kubernetes "podCIDRs" . }}{{ end }}
{{- with .Values.discovery.serviceCIDRs }}{{ $_ := set $kubernetes "serviceCIDRs" . }}{{ end }}
{{- $_ := set $config "kubernetes" $kubernetes }}
{{- toYaml $config }}
{{- end }}

{{- define "meshway.metricsAddress" -}}
{{- $monitored := or .Values.podMonitor.enabled .Values.serviceMonitor.enabled }}
{{- .Values.metrics.address | default (ternary "::" "127.0.0.1" $monitored) }}
{{- end }}

{{- define "meshway.metricsListen" -}}
{{- $address := include "meshway.metricsAddress" . }}
{{- printf (ternary "[%s]:%d" "%s:%d" (contains ":" $address)) $address (int .Values.metrics.port) }}
{{- end }}

{{/* Address of the probes, for the kubelet on the same host. */}}
{{- define "meshway.probeHost" -}}
{{- $address := include "meshway.metricsAddress" . }}
{{- if eq $address "0.0.0.0" }}127.0.0.1
{{- else if eq $address "::" }}127.0.0.1
{{- else }}{{ $address }}
{{- end }}
{{- end }}
