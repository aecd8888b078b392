{{/* Errors that a schema cannot detect or cannot describe well. */}}
{{- define "meshway.validate" -}}
{{- $name := .Values.datacenter.name }}
{{- if not $name }}
{{- fail "datacenter.name is missing: set a name for this cluster that is unique in the federation, for example --set datacenter.name=east" }}
{{- end }}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" $name) }}
{{- fail (printf "datacenter.name %q: the name must begin and end with a letter or a digit" $name) }}
{{- end }}
{{- range .Values.discovery.podCIDRs }}
{{- include "meshway.validateCIDR" (list "discovery.podCIDRs" .) }}
{{- end }}
{{- range .Values.discovery.serviceCIDRs }}
{{- include "meshway.validateCIDR" (list "discovery.serviceCIDRs" .) }}
{{- end }}
{{- include "meshway.validateNamespace" . }}
{{- $monitored := or .Values.podMonitor.enabled .Values.serviceMonitor.enabled }}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled }}
{{- fail "podMonitor.enabled and serviceMonitor.enabled: both would scrape all metrics twice; enable only one of them" }}
{{- end }}
{{- if and $monitored (or (hasPrefix "127." .Values.metrics.address) (eq "::1" .Values.metrics.address)) }}
{{- fail (printf "metrics.address %s: Prometheus cannot reach it from another host; leave it empty, or disable podMonitor and serviceMonitor" .Values.metrics.address) }}
{{- end }}
{{- end }}

{{/* The level that Pod Security Admission enforces in the namespace; empty without access to a cluster. */}}
{{- define "meshway.podSecurityLevel" -}}
{{- $namespace := lookup "v1" "Namespace" "" .Release.Namespace | default dict }}
{{- dig "metadata" "labels" "pod-security.kubernetes.io/enforce" "" $namespace }}
{{- end }}

{{/* The pods need the network of the host, which only the level privileged permits. */}}
{{- define "meshway.validateNamespace" -}}
{{- $level := include "meshway.podSecurityLevel" . }}
{{- if not (has $level (list "" "privileged")) }}
{{- fail (printf "namespace %s enforces the pod security level %s, which refuses pods that use the network of the host; run kubectl label namespace %s --overwrite pod-security.kubernetes.io/enforce=privileged, or choose another namespace" .Release.Namespace $level .Release.Namespace) }}
{{- end }}
{{- end }}

{{/* Validates an IPv4 CIDR; the argument is (list key CIDR). The agent validates all CIDRs. */}}
{{- define "meshway.validateCIDR" -}}
{{- $key := first . }}
{{- $cidr := last . }}
{{- if not (contains ":" $cidr) }}
{{- if not (regexMatch "^[0-9]{1,3}([.][0-9]{1,3}){3}/[0-9]{1,2}$" $cidr) }}
{{- fail (printf "%s: %q is not a CIDR; write address/length, such as 10.1.0.0/16" $key $cidr) }}
{{- end }}
{{- $bits := splitList "/" $cidr | last | int }}
{{- if or (lt $bits 1) (gt $bits 32) }}
{{- fail (printf "%s: %q must have a length of 1 to 32; a cluster cannot own all addresses" $key $cidr) }}
{{- end }}
{{- $address := 0 }}
{{- range splitList "/" $cidr | first | splitList "." }}
{{- if gt (int .) 255 }}
{{- fail (printf "%s: %q has %s in place of a number up to 255" $key $cidr .) }}
{{- end }}
{{- $address = add (mul $address 256) (int .) }}
{{- end }}
{{- $size := 1 }}
{{- range until (int (sub 32 $bits)) }}
{{- $size = mul $size 2 }}
{{- end }}
{{- if mod $address $size }}
{{- fail (printf "%s: %q has host bits after its /%d; write the first address of the range" $key $cidr $bits) }}
{{- end }}
{{- end }}
{{- end }}
