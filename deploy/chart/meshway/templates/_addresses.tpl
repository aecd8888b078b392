{{/* The bits of an IP address as text, after its family: 4 or 6; empty if it is none.
     An IPv4-mapped address is of family 6. */}}
{{- define "meshway.bits" -}}
{{- $octet := "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])" }}
{{- $ipv4 := printf "%s([.]%s){3}" $octet $octet }}
{{- $address := lower . }}
{{- if regexMatch (printf "^%s$" $ipv4) $address }}
{{- print "4" }}{{- range splitList "." $address }}{{ printf "%08b" (int .) }}{{ end }}
{{- else if contains ":" $address }}
{{- $last := splitList ":" $address | last }}
{{- if regexMatch (printf "^%s$" $ipv4) $last }}
{{- $octets := splitList "." $last }}
{{- $hex := printf "%02x%02x:%02x%02x" (index $octets 0 | int) (index $octets 1 | int) (index $octets 2 | int) (index $octets 3 | int) }}
{{- $address = printf "%s%s" (trimSuffix $last $address) $hex }}
{{- end }}
{{- $halves := splitList "::" $address }}
{{- $groups := list }}
{{- range $i, $half := $halves }}
{{- if gt $i 0 }}{{ $groups = append $groups "::" }}{{ end }}
{{- if $half }}{{ $groups = concat $groups (splitList ":" $half) }}{{ end }}
{{- end }}
{{- $shortened := gt (len $halves) 1 }}
{{- $valid := and (le (len $halves) 2) (ternary (le (len $groups) 8) (eq (len $groups) 8) $shortened) }}
{{- range $groups }}{{ if not (regexMatch "^([0-9a-f]{1,4}|::)$" .) }}{{ $valid = false }}{{ end }}{{ end }}
{{- if $valid }}
{{- $nibbles := dict "0" "0000" "1" "0001" "2" "0010" "3" "0011" "4" "0100" "5" "0101" "6" "0110" "7" "0111" "8" "1000" "9" "1001" "a" "1010" "b" "1011" "c" "1100" "d" "1101" "e" "1110" "f" "1111" }}
{{- print "6" }}
{{- range $groups }}
{{- if eq . "::" }}{{ repeat (mul 16 (sub 9 (len $groups)) | int) "0" }}
{{- else }}{{ repeat (mul 4 (sub 4 (len .)) | int) "0" }}{{ range splitList "" . }}{{ get $nibbles . }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The bits of the addresses in a CIDR that are the same for all; the argument is (list key CIDR).
     The agent refuses the same CIDRs. */}}
{{- define "meshway.cidr" -}}
{{- $key := first . }}
{{- $cidr := last . }}
{{- $parts := splitList "/" $cidr }}
{{- $bits := include "meshway.bits" (first $parts) }}
{{- if or (ne (len $parts) 2) (not $bits) (not (regexMatch "^(0|[1-9][0-9]{0,2})$" (last $parts))) }}
{{- fail (printf "%s: %q is not a CIDR; write address/length, such as 10.1.0.0/16" $key $cidr) }}
{{- end }}
{{- $length := last $parts | int }}
{{- $most := sub (len $bits) 1 | int }}
{{- if or (lt $length 1) (gt $length $most) }}
{{- fail (printf "%s: %q must have a length of 1 to %d; a cluster cannot own all addresses" $key $cidr $most) }}
{{- end }}
{{- if contains "1" (substr (int (add $length 1)) (len $bits) $bits) }}
{{- fail (printf "%s: %q has host bits after its /%d; write the first address of the range" $key $cidr $length) }}
{{- end }}
{{- trunc (int (add $length 1)) $bits }}
{{- end }}

{{/* The ranges that no cluster can own, and that other networks cannot reach. */}}
{{- define "meshway.reserved" -}}
0.0.0.0/8 127.0.0.0/8 169.254.0.0/16 224.0.0.0/4 255.255.255.255/32 ::/127 ::ffff:0:0/96 fe80::/10 ff00::/8
{{- end }}

{{/* As meshway.cidr, without ranges that no cluster can own. */}}
{{- define "meshway.ownCIDR" -}}
{{- $key := first . }}
{{- $cidr := last . }}
{{- $bits := include "meshway.cidr" . }}
{{- range include "meshway.reserved" . | splitList " " }}
{{- $reserved := include "meshway.cidr" (list "" .) }}
{{- if or (hasPrefix $reserved $bits) (hasPrefix $bits $reserved) }}
{{- fail (printf "%s: %q overlaps %s, which no cluster can own" $key $cidr .) }}
{{- end }}
{{- end }}
{{- $bits }}
{{- end }}

{{/* Validates host:port at which other hosts reach this one; the argument is (list key host:port). */}}
{{- define "meshway.validateHostPort" -}}
{{- $key := first . }}
{{- $value := last . }}
{{- if not (regexMatch ":[0-9]{1,5}$" $value) }}
{{- fail (printf "%s: %q has no port; write host:port, such as 192.0.2.1:51820, [2001:db8::1]:51820 or gw.example.org:51820" $key $value) }}
{{- end }}
{{- $port := splitList ":" $value | last }}
{{- $host := trimSuffix (printf ":%s" $port) $value }}
{{- $bits := "" }}
{{- if regexMatch "^\\[.*:.*\\]$" $host }}
{{- $bits = include "meshway.bits" (trimAll "[]" $host) }}
{{- else if not (contains ":" $host) }}
{{- $bits = include "meshway.bits" $host }}
{{- end }}
{{- $bits = regexReplaceAll "^60{80}1{16}" $bits "4" }}
{{- $valid := and (regexMatch "^[0-9]{1,5}$" $port) (ge (atoi $port) 1) (le (atoi $port) 65535) }}
{{- if $bits }}
{{- range include "meshway.reserved" . | splitList " " }}{{ $valid = and $valid (not (hasPrefix (include "meshway.cidr" (list "" .)) $bits)) }}{{ end }}
{{- else }}
{{- $labels := splitList "." (trimSuffix "." $host | lower) }}
{{- $valid = and $valid (le (len (trimSuffix "." $host)) 253) (not (regexMatch "^[0-9]*$" (last $labels))) }}
{{- $valid = and $valid (ne (last $labels) "localhost") (ne (join "." $labels) "localhost.localdomain") }}
{{- range $labels }}{{ $valid = and $valid (regexMatch "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" .) }}{{ end }}
{{- end }}
{{- if not $valid }}
{{- fail (printf "%s: %q is not an address of this host for others; write host:port, such as 192.0.2.1:51820, [2001:db8::1]:51820 or gw.example.org:51820" $key $value) }}
{{- end }}
{{- end }}

{{/* The place at which a host listens: the bits of the address without those of an IPv4-mapped
     one, its zone, and the port; the argument is (list key address:port). */}}
{{- define "meshway.place" -}}
{{- $key := first . }}
{{- $value := last . }}
{{- $text := ternary (printf "[::]%s" $value) $value (hasPrefix ":" $value) }}
{{- $port := splitList ":" $text | last }}
{{- $host := trimSuffix (printf ":%s" $port) $text }}
{{- $zone := "" }}
{{- $bits := "" }}
{{- if regexMatch "^\\[.*:.*\\]$" $host }}
{{- $host = trimAll "[]" $host }}
{{- $zone = regexFind "%.+$" $host }}
{{- $bits = include "meshway.bits" (trimSuffix $zone $host) }}
{{- else if not (contains ":" $host) }}
{{- $bits = include "meshway.bits" $host }}
{{- end }}
{{- $number := regexReplaceAll "^0+" $port "" }}
{{- if or (not $bits) (not (regexMatch "^[0-9]{1,5}$" $number)) (gt (atoi (default "0" $number)) 65535) }}
{{- fail (printf "%s: %q is not an address to listen on; write address:port, such as [::]:7443 or 192.0.2.1:7443" $key $value) }}
{{- end }}
{{- printf "%s%s %s" (regexReplaceAll "^60{80}1{16}" $bits "4") $zone $number }}
{{- end }}

{{/* Milliseconds of a duration. */}}
{{- define "meshway.milliseconds" -}}
{{- $units := dict "ns" 0.000001 "us" 0.001 "ms" 1 "s" 1000 "m" 60000 "h" 3600000 }}
{{- $sum := 0.0 }}
{{- range regexFindAll "[0-9.]+[a-z]+" . -1 }}
{{- $unit := regexFind "[a-z]+$" . }}
{{- $sum = addf $sum (mulf (float64 (trimSuffix $unit .)) (get $units $unit)) }}
{{- end }}
{{- $sum }}
{{- end }}
