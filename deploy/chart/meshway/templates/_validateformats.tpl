{{/* Formats of texts. A schema would answer with a regular expression instead of the rule. */}}
{{- define "meshway.validateFormats" -}}
{{- $control := .Values.config.control | default dict }}
{{- $wireguard := .Values.config.wireguard | default dict }}
{{- $liveness := .Values.config.liveness | default dict }}
{{- $agent := .Values.agent }}
{{- include "meshway.format" (list "gateways.label" .Values.gateways.label "label") }}
{{- include "meshway.optionalFormat" (list "join.tokenSecret.name" .Values.join.tokenSecret.name "object") }}
{{- include "meshway.format" (list "join.tokenSecret.key" .Values.join.tokenSecret.key "secretKey") }}
{{- include "meshway.optionalFormat" (list "catalog.tokensSecret.name" .Values.catalog.tokensSecret.name "object") }}
{{- include "meshway.format" (list "catalog.tokensSecret.key" .Values.catalog.tokensSecret.key "secretKey") }}
{{- if hasKey $control "listen" }}{{ include "meshway.format" (list "config.control.listen" $control.listen "listen") }}{{ end }}
{{- if hasKey $wireguard "interface" }}{{ include "meshway.format" (list "config.wireguard.interface" $wireguard.interface "interface") }}{{ end }}
{{- if hasKey $wireguard "keepalive" }}{{ include "meshway.format" (list "config.wireguard.keepalive" $wireguard.keepalive "duration") }}{{ end }}
{{- if hasKey $liveness "interval" }}{{ include "meshway.format" (list "config.liveness.interval" $liveness.interval "duration") }}{{ end }}
{{- if and .Values.metrics.address (not (include "meshway.bits" .Values.metrics.address)) }}
{{- fail (printf "metrics.address: %q is not an IP address; write one of the host, such as 127.0.0.1 or ::" .Values.metrics.address) }}
{{- end }}
{{- include "meshway.optionalFormat" (list "image.tag" .Values.image.tag "tag") }}
{{- include "meshway.optionalFormat" (list "image.digest" .Values.image.digest "digest") }}
{{- range $i, $secret := .Values.imagePullSecrets }}{{ include "meshway.format" (list (printf "imagePullSecrets[%d].name" $i) $secret.name "object") }}{{ end }}
{{- if kindIs "string" $agent.maxUnavailable }}{{ include "meshway.format" (list "agent.maxUnavailable" $agent.maxUnavailable "percentage") }}{{ end }}
{{- range $i, $variable := $agent.extraEnv }}
{{- if regexMatch "^(POD_NAME|POD_NAMESPACE|NODE_NAME|MESHWAY_.*)$" $variable.name }}
{{- fail (printf "agent.extraEnv[%d].name: %s is a variable of the chart; use the value of the chart for it, or another name" $i $variable.name) }}
{{- end }}
{{- end }}
{{- include "meshway.validateResources" (list "agent.resources" $agent.resources) }}
{{- include "meshway.validateResources" (list "userspace.resources" .Values.userspace.resources) }}
{{- include "meshway.optionalFormat" (list "serviceAccount.name" .Values.serviceAccount.name "object") }}
{{- include "meshway.optionalFormat" (list "serviceAccount.gatewayName" .Values.serviceAccount.gatewayName "object") }}
{{- range $monitor := list "podMonitor" "serviceMonitor" }}
{{- with (get $.Values $monitor).interval }}{{ include "meshway.format" (list (printf "%s.interval" $monitor) . "interval") }}{{ end }}
{{- end }}
{{- include "meshway.optionalFormat" (list "fullnameOverride" .Values.fullnameOverride "fullname") }}
{{- end }}

{{/* Validates a text; the argument is (list key text format). */}}
{{- define "meshway.format" -}}
{{- $label := "[a-z0-9]([-a-z0-9]*[a-z0-9])?" }}
{{- $subdomain := printf "%s([.]%s)*" $label $label }}
{{- $part := "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?" }}
{{- $formats := dict
  "label" (list (printf "(%s/)?%s=(%s)?" $subdomain $part $part) "is not a label; write key=value, such as meshway.io/gateway=true")
  "object" (list $subdomain "is not a name of an object in Kubernetes; use a-z, 0-9, '-' and '.', with a letter or digit at both ends")
  "secretKey" (list "[-._a-zA-Z0-9]{1,253}" "is not a key of a Secret; use 1 to 253 of a-z, A-Z, 0-9, '-', '_' and '.'")
  "listen" (list ".*:[0-9]{1,5}" "is not an address to listen on; write address:port, such as [::]:7443 or 192.0.2.1:7443")
  "interface" (list "([a-z0-9][a-z0-9-]{0,10})?[a-z]" "is not a prefix of interface names; use 1 to 12 of a-z, 0-9 and '-' that end in a letter")
  "duration" (list "([0-9]+([.][0-9]+)?(ns|us|ms|s|m|h))+" "is not a duration; write a number and a unit, such as 25s or 200ms")
  "interval" (list "[0-9]+(ms|s|m|h)" "is not an interval of Prometheus; write a whole number and a unit, such as 30s")
  "tag" (list "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}" "is not a tag of an image; write one such as v0.2.0, and a digest (sha256:...) in image.digest")
  "digest" (list (printf "sha256:%s" (repeat 64 "[0-9a-f]")) "is not the digest of an image; write sha256: and 64 of 0-9 and a-f, as the registry shows it")
  "percentage" (list "[1-9][0-9]?%|100%" "is not a number of nodes; write a number such as 1, or a percentage from 1% to 100%")
  "quantity" (list "([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?" "is not a quantity; write a number with or without a unit, such as 100m of cpu or 64Mi of memory")
  "fullname" (list "[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?" "is not a name of objects; use 1 to 52 of a-z, 0-9 and '-', with a letter or digit at both ends")
}}
{{- $text := toString (index . 1) }}
{{- $format := get $formats (last .) }}
{{- if or (gt (len $text) 253) (not (regexMatch (printf "^(%s)$" (first $format)) $text)) }}
{{- fail (printf "%s: %q %s" (first .) $text (last $format)) }}
{{- end }}
{{- end }}

{{- define "meshway.optionalFormat" -}}
{{- if index . 1 }}{{ include "meshway.format" . }}{{ end }}
{{- end }}

{{- define "meshway.validateResources" -}}
{{- $key := first . }}
{{- $resources := last . | default dict }}
{{- range $kind := list "requests" "limits" }}
{{- range $name, $quantity := get $resources $kind | default dict }}
{{- include "meshway.format" (list (printf "%s.%s.%s" $key $kind $name) $quantity "quantity") }}
{{- end }}
{{- end }}
{{- end }}
