{{/* Where pods run: on all Linux nodes that the values allow. */}}
{{- define "meshway.placement" -}}
nodeSelector:
  kubernetes.io/os: linux
  {{- with .Values.agent.nodeSelector }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.agent.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.agent.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Root, without its capabilities: the node's files belong to root, and
     capabilities of a container go to no other user. */}}
{{- define "meshway.podSecurity" -}}
runAsUser: 0
runAsGroup: 0
seccompProfile: {type: RuntimeDefault}
{{- with .Values.agent.seLinuxOptions }}
seLinuxOptions:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
