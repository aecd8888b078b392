{{/* Mistakes that a schema cannot see, or cannot name well. */}}
{{- define "meshway.validate" -}}
{{- $name := .Values.datacenter.name }}
{{- if not $name }}
{{- fail "datacenter.name is missing: give this cluster a name that is unique in the federation, for example --set datacenter.name=east" }}
{{- end }}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" $name) }}
{{- fail (printf "datacenter.name %q: it has to begin and end with a letter or a digit" $name) }}
{{- end }}
{{- range .Values.discovery.podCIDRs }}
{{- include "meshway.validateCIDR" (list "discovery.podCIDRs" .) }}
{{- end }}
{{- range .Values.discovery.serviceCIDRs }}
{{- include "meshway.validateCIDR" (list "discovery.serviceCIDRs" .) }}
{{- end }}
{{- $monitored := or .Values.podMonitor.enabled .Values.serviceMonitor.enabled }}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled }}
{{- fail "podMonitor.enabled and serviceMonitor.enabled: everything would be scraped twice; enable one of them" }}
{{- end }}
{{- if and $monitored (or (hasPrefix "127." .Values.metrics.address) (eq "::1" .Values.metrics.address)) }}
{{- fail (printf "metrics.address %s: Prometheus cannot reach it from another host; leave it empty, or disable podMonitor and serviceMonitor" .Values.metrics.address) }}
{{- end }}
{{- end }}

{{/* Of (key, CIDR). The agent checks again, and IPv6 thoroughly. */}}
{{- define "meshway.validateCIDR" -}}
{{- $key := first . }}
{{- $cidr := last . }}
{{- if not (contains ":" $cidr) }}
{{- if not (regexMatch "^[0-9]{1,3}([.][0-9]{1,3}){3}/[0-9]{1,2}$" $cidr) }}
{{- fail (printf "%s: %q is not a CIDR; write it like 10.1.0.0/16" $key $cidr) }}
{{- end }}
{{- $bits := splitList "/" $cidr | last | int }}
{{- if or (lt $bits 1) (gt $bits 32) }}
{{- fail (printf "%s: %q has to have 1 to 32 bits; no cluster owns all addresses" $key $cidr) }}
{{- end }}
{{- $address := 0 }}
{{- range splitList "/" $cidr | first | splitList "." }}
{{- if gt (int .) 255 }}
{{- fail (printf "%s: %q has %s where at most 255 can be" $key $cidr .) }}
{{- end }}
{{- $address = add (mul $address 256) (int .) }}
{{- end }}
{{- $size := 1 }}
{{- range until (int (sub 32 $bits)) }}
{{- $size = mul $size 2 }}
{{- end }}
{{- if mod $address $size }}
{{- fail (printf "%s: %q has bits behind its /%d; write the first address of the range" $key $cidr $bits) }}
{{- end }}
{{- end }}
{{- end }}
