{{/* Errors that a schema cannot detect or cannot describe well. */}}
{{- define "meshway.validate" -}}
{{- $name := .Values.datacenter.name }}
{{- if not $name }}
{{- fail "datacenter.name is missing: set a name for this cluster that is unique in the federation, for example --set datacenter.name=east" }}
{{- else if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" $name) }}
{{- fail (printf "datacenter.name: %q is not a DNS label; use 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends" $name) }}
{{- end }}
{{- if not (or .Values.image.tag .Values.image.digest) }}
{{- fail "image.tag is missing: no image is published for the chart of the source tree; install the chart of a release, or run make image, push bin/image.tar or load it on the nodes, and set image.repository and image.tag" }}
{{- end }}
{{- include "meshway.validateFormats" . }}
{{- include "meshway.validateCIDRs" (list "discovery.podCIDRs" .Values.discovery.podCIDRs) }}
{{- include "meshway.validateCIDRs" (list "discovery.serviceCIDRs" .Values.discovery.serviceCIDRs) }}
{{- range $service := .Values.discovery.serviceCIDRs }}
{{- $bits := include "meshway.cidr" (list "discovery.serviceCIDRs" $service) }}
{{- range $pod := $.Values.discovery.podCIDRs }}
{{- $other := include "meshway.cidr" (list "discovery.podCIDRs" $pod) }}
{{- if or (hasPrefix $other $bits) (hasPrefix $bits $other) }}
{{- fail (printf "discovery.serviceCIDRs: %s overlaps %s in discovery.podCIDRs; pods and services have no address in common, so write the ranges that they have" $service $pod) }}
{{- end }}
{{- end }}
{{- end }}
{{- include "meshway.validateConfig" . }}
{{- include "meshway.validateNamespace" . }}
{{- include "meshway.validateCluster" . }}
{{- include "meshway.validateCRDs" . }}
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

{{/* Validates CIDRs that the cluster announces, which must not overlap; the argument is (list key CIDRs). */}}
{{- define "meshway.validateCIDRs" -}}
{{- $key := first . }}
{{- $before := list }}
{{- range last . }}
{{- $cidr := . }}
{{- $bits := include "meshway.ownCIDR" (list $key .) }}
{{- $shortest := ternary 8 16 (hasPrefix "4" $bits) }}
{{- if le (len $bits) $shortest }}
{{- fail (printf "%s: %q is too large; use prefixes of length %d or more" $key $cidr $shortest) }}
{{- end }}
{{- range $before }}
{{- if or (hasPrefix . $bits) (hasPrefix $bits .) }}
{{- fail (printf "%s: %q overlaps another CIDR of the list; list each range once" $key $cidr) }}
{{- end }}
{{- end }}
{{- $before = append $before $bits }}
{{- end }}
{{- end }}

{{/* Errors of a wrong kubectl context: Meshway in the cluster is another release or datacenter.
     lookup returns nothing without access to a cluster. */}}
{{- define "meshway.validateCluster" -}}
{{- range (lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" "" | default dict).items }}
{{- $labels := .metadata.labels | default dict }}
{{- $annotations := .metadata.annotations | default dict }}
{{- $release := get $annotations "meta.helm.sh/release-name" }}
{{- $namespace := get $annotations "meta.helm.sh/release-namespace" }}
{{- if and $release (eq (get $labels "app.kubernetes.io/name") "meshway") (ne (printf "%s/%s" $namespace $release) (printf "%s/%s" $.Release.Namespace $.Release.Name)) }}
{{- fail (printf "release %s in namespace %s has Meshway in this cluster already, and a cluster has one: check the kubectl context, or upgrade that release" $release $namespace) }}
{{- end }}
{{- end }}
{{- $map := lookup "v1" "ConfigMap" .Release.Namespace (include "meshway.fullname" .) | default dict }}
{{- $before := get (dig "data" "meshd.yaml" "{}" $map | fromYaml) "datacenter" | default .Values.datacenter.name }}
{{- $identity := lookup "v1" "Secret" .Release.Namespace (include "meshway.identitySecret" .) | default dict }}
{{- $membership := dig "data" "membership.json" "" $identity | b64dec | default "{}" | fromJson }}
{{- if and (ne $before .Values.datacenter.name) (get $membership "federation") }}
{{- fail (printf "datacenter.name %q: this cluster is the datacenter %s of a federation; check the kubectl context, or run meshctl leave there first" .Values.datacenter.name $before) }}
{{- end }}
{{- end }}

{{/* Helm installs custom resource definitions, but never upgrades them. */}}
{{- define "meshway.validateCRDs" -}}
{{- range $path, $_ := .Files.Glob "crds/*.meshway.io.yaml" }}
{{- $name := trimSuffix ".yaml" (base $path) }}
{{- $version := dig "metadata" "annotations" "meshway.io/version" "0" ($.Files.Get $path | fromYaml) | int }}
{{- $found := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" $name | default dict }}
{{- if and $found (lt (dig "metadata" "annotations" "meshway.io/version" "0" $found | int) $version) }}
{{- fail (printf "the custom resource definition %s in this cluster is that of an older chart, and Helm does not upgrade it; run helm show crds CHART | kubectl apply --server-side --force-conflicts -l app.kubernetes.io/part-of=meshway -f -" $name) }}
{{- end }}
{{- end }}
{{- end }}
