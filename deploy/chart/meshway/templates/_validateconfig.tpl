{{/* Refuses what the agent would refuse in its configuration when it starts, meshd config check. */}}
{{- define "meshway.validateConfig" -}}
{{- $control := .Values.config.control | default dict }}
{{- $wireguard := .Values.config.wireguard | default dict }}
{{- $liveness := .Values.config.liveness | default dict }}
{{- include "meshway.validateEndpoints" (list "config.control.advertise" $control.advertise) }}
{{- include "meshway.validateEndpoints" (list "config.wireguard.advertise" $wireguard.advertise) }}
{{- include "meshway.validateRouting" . }}
{{- $device := $wireguard.interface | default "mesh" }}
{{- $common := list "antrea-gw" "antrea-tun" "ath" "awg" "bat" "bnep" "bond" "br" "bridge" "can" "cbr" "cni" "cni-podman" "docker" "dummy" "em" "erspan" "eth" "fwbr" "fwln" "fwpr" "genev" "geneve" "gre" "gretap" "hsr" "ib" "ifb" "incusbr" "ip6gre" "ip6gretap" "ip6tnl" "ipip" "ipsec" "ipvlan" "kube-bridge" "kube-ipvs" "l2tpeth" "lan" "lo" "lowpan" "lxc" "lxcbr" "lxdbr" "lxdfan" "macsec" "macvlan" "macvtap" "mgmt" "mlan" "mpqemubr" "nebula" "nlmon" "ovpn" "ovs-br" "pan" "pimreg" "podman" "ppp" "rmnet" "seth" "sit" "sl" "slip" "swp" "tailscale" "tap" "team" "tinc" "tun" "tunl" "uap" "usb" "utun" "vboxnet" "vcan" "venet" "veth" "vif" "virbr" "vlan" "vmbr" "vmnet" "vnet" "vnic" "vrf" "vsockmon" "vti" "vxlan" "wan" "wg" "wifi" "wlan" "wpan" "wt" "wwan" "xenbr" "xfrm" "ygg" "zt" }}
{{- if or (has $device $common) (regexMatch "^(en|ib|sl|wl|ww)[a-z]?$" $device) }}
{{- fail (printf "config.wireguard.interface: %q is also the prefix of other interfaces, such as %s0; use another one, such as mesh" $device $device) }}
{{- end }}
{{- $keepalive := include "meshway.milliseconds" ($wireguard.keepalive | default "25s") | float64 }}
{{- if or (gt $keepalive 65535000.0) (ne (divf $keepalive 1000 | float64) (divf $keepalive 1000 | floor)) }}
{{- fail (printf "config.wireguard.keepalive: %s is not a whole number of seconds up to 65535s" $wireguard.keepalive) }}
{{- end }}
{{- $interval := include "meshway.milliseconds" ($liveness.interval | default "100ms") | float64 }}
{{- if or (lt $interval 50.0) (gt $interval 10000.0) }}
{{- fail (printf "config.liveness.interval: %s is out of range; use 50ms to 10s" $liveness.interval) }}
{{- end }}
{{- $first := $wireguard.port | default 51820 | int }}
{{- $port := $liveness.port | default 3784 | int }}
{{- if and (ge $port $first) (lt $port (int (add $first 64))) }}
{{- fail (printf "config.liveness.port: %d is a port of the tunnels, which use UDP %d to %d from config.wireguard.port on; use another one" $port $first (add $first 63)) }}
{{- end }}
{{- include "meshway.validatePlaces" . }}
{{- if gt (len (include "meshway.config" .)) 262144 }}
{{- fail "config: the configuration of the agent is larger than 262144 bytes, its limit; use fewer or larger ranges" }}
{{- end }}
{{- end }}

{{- define "meshway.validateEndpoints" -}}
{{- $key := first . }}
{{- $list := last . | default list | uniq }}
{{- if gt (len $list) 16 }}
{{- fail (printf "%s: %d addresses are too many; list the best 16 only" $key (len $list)) }}
{{- end }}
{{- range $list }}
{{- include "meshway.validateHostPort" (list $key .) }}
{{- end }}
{{- end }}

{{- define "meshway.validateRouting" -}}
{{- $routing := .Values.config.routing | default dict }}
{{- $table := $routing.table | default 7117 | int64 }}
{{- if and (ge $table 252) (le $table 255) }}
{{- fail (printf "config.routing.table: %d is a table of the system; use another number, such as 7117" $table) }}
{{- end }}
{{- range $name, $ranges := $routing.accept | default dict }}
{{- $key := printf "config.routing.accept.%s" $name }}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" $name) }}
{{- fail (printf "%s: the name of a datacenter has 1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends" $key) }}
{{- end }}
{{- if eq $name $.Values.datacenter.name }}
{{- fail (printf "%s: it is this datacenter; name another one" $key) }}
{{- end }}
{{- range $ranges }}{{ $_ := include "meshway.ownCIDR" (list $key .) }}{{ end }}
{{- end }}
{{- range $routing.yield }}{{ $_ := include "meshway.ownCIDR" (list "config.routing.yield" .) }}{{ end }}
{{- end }}

{{/* Validates the addresses to listen on, and that the host can listen on all at once. */}}
{{- define "meshway.validatePlaces" -}}
{{- $keys := list "config.control.listen" "metrics" }}
{{- $texts := list ((.Values.config.control | default dict).listen | default "[::]:7443") (include "meshway.metricsListen" .) }}
{{- if .Values.catalog.tokensSecret.name }}
{{- $keys = append $keys "catalog" }}
{{- $texts = append $texts (printf "127.0.0.1:%d" (int .Values.catalog.port)) }}
{{- end }}
{{- range $i, $text := $texts }}
{{- $place := include "meshway.place" (list (index $keys $i) $text) | splitList " " }}
{{- range $j := until $i }}
{{- $other := include "meshway.place" (list (index $keys $j) (index $texts $j)) | splitList " " }}
{{- $anywhere := or (not (contains "1" (first $place | trimPrefix "4" | trimPrefix "6"))) (not (contains "1" (first $other | trimPrefix "4" | trimPrefix "6"))) }}
{{- if and (eq (last $place) (last $other)) (or $anywhere (eq (first $place) (first $other))) }}
{{- fail (printf "%s: %s is also the port of %s %s; use another one" (index $keys $i) $text (index $keys $j) (index $texts $j)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
