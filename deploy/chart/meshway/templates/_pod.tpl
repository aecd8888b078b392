{{/* Pods run on all Linux nodes that the values permit. */}}
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
