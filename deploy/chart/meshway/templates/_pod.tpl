{{/* Pods run on the Linux nodes that the values permit; the argument is (dict "root" $ "on" …),
     with gateways, nodes (that are no gateways), all, or preferred (gateways, if there is one). */}}
{{- define "meshway.placement" -}}
{{- $agent := .root.Values.agent }}
{{- $label := splitn "=" 2 .root.Values.gateways.label }}
{{- $selector := merge (dict "kubernetes.io/os" "linux") $agent.nodeSelector }}
{{- $affinity := deepCopy $agent.affinity }}
{{- if eq .on "gateways" }}
{{- $_ := set $selector $label._0 $label._1 }}
{{- else if eq .on "nodes" }}
{{- $other := dict "key" $label._0 "operator" "NotIn" "values" (list $label._1) }}
{{- $required := dig "nodeAffinity" "requiredDuringSchedulingIgnoredDuringExecution" "nodeSelectorTerms" (list (dict)) $affinity }}
{{- $terms := list }}
{{- range $term := $required }}
{{- $expressions := append (get $term "matchExpressions" | default list) $other }}
{{- $terms = append $terms (set (deepCopy $term) "matchExpressions" $expressions) }}
{{- end }}
{{- $nodeAffinity := get $affinity "nodeAffinity" | default dict }}
{{- $_ := set $nodeAffinity "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" $terms) }}
{{- $_ := set $affinity "nodeAffinity" $nodeAffinity }}
{{- else if eq .on "preferred" }}
{{- $gateway := dict "key" $label._0 "operator" "In" "values" (list $label._1) }}
{{- $preference := dict "weight" 100 "preference" (dict "matchExpressions" (list $gateway)) }}
{{- $nodeAffinity := get $affinity "nodeAffinity" | default dict }}
{{- $all := append (get $nodeAffinity "preferredDuringSchedulingIgnoredDuringExecution" | default list) $preference }}
{{- $_ := set $nodeAffinity "preferredDuringSchedulingIgnoredDuringExecution" $all }}
{{- $_ := set $affinity "nodeAffinity" $nodeAffinity }}
{{- end -}}
nodeSelector:
  {{- toYaml $selector | nindent 2 }}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $agent.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Root, because the files on the node belong to root and a container's added
     capabilities are effective only for root. */}}
{{- define "meshway.podSecurity" -}}
runAsUser: 0
runAsGroup: 0
seccompProfile: {type: RuntimeDefault}
{{- with .Values.agent.seLinuxOptions }}
seLinuxOptions:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
