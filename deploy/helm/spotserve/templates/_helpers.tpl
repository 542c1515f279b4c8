{{- define "spotserve.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{/* Each of the following takes {root, name}: the name of a part, "planner" for example. */}}

{{- define "spotserve.selector" -}}
app.kubernetes.io/name: spotserve
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "spotserve.meta" -}}
name: {{ include "spotserve.fullname" .root }}-{{ .name }}
labels:
  {{- include "spotserve.selector" . | nindent 2 }}
  app.kubernetes.io/version: {{ .root.Values.image.tag | quote }}
  app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{/* Metadata of a pod with a metrics port, {root, name, port}. */}}
{{- define "spotserve.podMeta" -}}
labels:
  {{- include "spotserve.selector" . | nindent 2 }}
{{- if .root.Values.monitoring.annotations }}
annotations:
  prometheus.io/scrape: "true"
  prometheus.io/port: {{ .port | quote }}
{{- end }}
{{- end }}

{{- define "spotserve.image" -}}
image: {{ printf "%s/%s:%v" .root.Values.image.registry .name (required "image.tag: name the version of the images" .root.Values.image.tag) | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- end }}

{{/* What every pod has, {root, name, user}. */}}
{{- define "spotserve.pod" -}}
serviceAccountName: {{ include "spotserve.fullname" .root }}-{{ .name }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Where a pod that is not a worker goes, {root, name, hard}. */}}
{{- define "spotserve.stable" -}}
{{- with .root.Values.stable.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.stable.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: {{ .hard | ternary "DoNotSchedule" "ScheduleAnyway" }}
    labelSelector:
      matchLabels: {{- include "spotserve.selector" . | nindent 8 }}
{{- end }}

{{- define "spotserve.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* A service is alive as long as it answers: one that waits for NATS is not
killed for it, but is not ready. */}}
{{- define "spotserve.probes" -}}
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 5
  timeoutSeconds: 3
{{- end }}

{{/* Flags of every service, {root, port}. */}}
{{- define "spotserve.args" -}}
- --nats={{ include "spotserve.natsURL" .root }}
- --stream-replicas={{ .root.Values.streamReplicas }}
- --tls-ca=/etc/spotserve/keys/ca.crt
- --tls-cert=/etc/spotserve/keys/tls.crt
- --tls-key=/etc/spotserve/keys/tls.key
- --nats-nkey=/etc/spotserve/keys/nats.nk
- --metrics-listen=:{{ .port }}
- --log-level={{ .root.Values.log.level }}
- --log-format={{ .root.Values.log.format }}
{{- with .root.Values.trace.endpoint }}
- --trace-endpoint={{ . }}
- --trace-sample={{ $.root.Values.trace.sample }}
{{- end }}
{{- end }}

{{- define "spotserve.natsURL" -}}
{{ .Values.nats.url | default (printf "tls://%s-nats:4222" (include "spotserve.fullname" .)) }}
{{- end }}

{{- define "spotserve.clickhouseAddress" -}}
{{ .Values.clickhouse.address | default (printf "%s-clickhouse:9440" (include "spotserve.fullname" .)) }}
{{- end }}

{{/* Size and class of a volume claim. */}}
{{- define "spotserve.claim" -}}
accessModes: [ReadWriteOnce]
{{- with .className }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests:
    storage: {{ .size }}
{{- end }}
