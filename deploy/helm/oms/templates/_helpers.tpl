{{- define "oms.name" -}}
{{- if eq .Release.Name .Chart.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "oms.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "oms.labels" -}}
{{ include "oms.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "oms.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{- define "oms.role" -}}
app.kubernetes.io/component: {{ .service }}-{{ .role }}
{{- end }}

{{/* The variables of a container, as JSON: (dict "root" $ "layers" [{NAME: value or {secret, key}}, …]). A later layer
wins. `defaults`, if they are given, are below what the values say. */}}
{{- define "oms.variables" -}}
{{- $values := .root.Values }}
{{- $variables := dict
  "EVENT_PUBLISHER" "kafka"
  "LOG_FORMAT" "json"
  "DATA_DIR" "/data"
  "AUTH" (eq (toString $values.auth.mode) "required" | ternary "required" "off")
  "AUTH_ISSUER" $values.auth.issuer
  "AUTH_AUDIENCE" $values.auth.audience
  "AUTH_JWKS_URL" $values.auth.jwksUrl
  "KAFKA_BOOTSTRAP_SERVERS" $values.kafka.bootstrapServers
  "KAFKA_PREFIX" $values.kafka.prefix
  "KAFKA_SECURITY_PROTOCOL" $values.kafka.securityProtocol }}
{{- range concat (list .defaults $values.env) .layers }}
{{- $variables = mergeOverwrite $variables (deepCopy (. | default dict)) }}
{{- end }}
{{- toJson $variables }}
{{- end }}

{{/* The same for a process that does not speak to Kafka: it needs no user there. */}}
{{- define "oms.withoutKafka" -}}
{{- $variables := . }}
{{- range $name, $_ := . }}
{{- if hasPrefix "KAFKA_" $name }}{{ $variables = omit $variables $name }}{{ end }}
{{- end }}
{{- toJson $variables }}
{{- end }}

{{/* A secret that processes read from a file, where a new one reaches them without a restart. The others are variables. */}}
{{- define "oms.isFile" -}}
{{- if kindIs "map" .value }}{{ if regexMatch "_(DATABASE_URL|PASSWORD|SECRET|GATEWAY_KEY|OTLP_HEADERS)$" .name }}yes{{ end }}{{ end }}
{{- end }}

{{- define "oms.env" -}}
{{- range $name, $value := . }}
{{- if include "oms.isFile" (dict "name" $name "value" $value) }}
- {name: {{ $name }}_FILE, value: /etc/oms/secrets/{{ $value.secret }}/{{ $value.key }}}
{{- else if kindIs "map" $value }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ $value.secret }}, key: {{ $value.key }}}}
{{- else if ne ($value | toString) "" }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{/* The keys that a container reads, by their secrets, as JSON. */}}
{{- define "oms.secretFiles" -}}
{{- $files := dict }}
{{- range $name, $value := . }}
{{- if include "oms.isFile" (dict "name" $name "value" $value) }}
{{- $_ := set $files $value.secret (append (get $files $value.secret | default list) $value.key | uniq) }}
{{- end }}
{{- end }}
{{- toJson $files }}
{{- end }}

{{- define "oms.scheme" -}}
{{ hasKey . "HTTP_TLS_CERTFILE" | ternary "HTTPS" "HTTP" }}
{{- end }}

{{/* What every pod of ours is allowed, and no more. */}}
{{- define "oms.podSecurity" -}}
automountServiceAccountToken: false
# A Service of somebody else, named `kafka` or `metrics`, would set KAFKA_PORT or METRICS_PORT.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "oms.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "oms.placement" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "oms.mounts" -}}
- {name: data, mountPath: /data}
{{- range $secret, $_ := include "oms.secretFiles" .variables | fromJson }}
- {name: {{ printf "keys-%s" $secret | trunc 63 }}, mountPath: /etc/oms/secrets/{{ $secret }}, readOnly: true}
{{- end }}
{{- range .root.Values.secretMounts }}
- {name: {{ printf "files-%s" .secret | trunc 63 }}, mountPath: {{ .path }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "oms.volumes" -}}
- name: data
  emptyDir: {sizeLimit: 16Mi}
{{- range $secret, $keys := include "oms.secretFiles" .variables | fromJson }}
- name: {{ printf "keys-%s" $secret | trunc 63 }}
  secret:
    secretName: {{ $secret }}
    defaultMode: 0440
    items:
    {{- range $keys }}
      - {key: {{ . }}, path: {{ . }}}
    {{- end }}
{{- end }}
{{- range .root.Values.secretMounts }}
- name: {{ printf "files-%s" .secret | trunc 63 }}
  secret: {secretName: {{ .secret }}, defaultMode: 0440}
{{- end }}
{{- end }}

{{- define "oms.topologySpread" -}}
{{- range $key, $unsatisfiable := dict "topology.kubernetes.io/zone" .root.Values.topologySpread.zones "kubernetes.io/hostname" .root.Values.topologySpread.hosts }}
- topologyKey: {{ $key }}
  maxSkew: 1
  whenUnsatisfiable: {{ $unsatisfiable }}
  nodeTaintsPolicy: Honor  # a zone that is gone takes no part
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels: {{- include "oms.selector" $.root | nindent 6 }}
      {{ include "oms.role" $ }}
{{- end }}
{{- end }}
