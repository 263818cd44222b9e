package knative

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// spoil is the stream with one thing replaced.
func spoil(t *testing.T, stream, old, with string) string {
	t.Helper()
	if !strings.Contains(stream, old) {
		t.Fatalf("the manifests have no %q", old)
	}
	return strings.Replace(stream, old, with, 1)
}

// What a user sees of a mistake: one line, which says where and what. Each
// mistake is made in what is deployed, so nothing else is wrong with it.
func TestMistakes(t *testing.T) {
	stream, err := Render("overlays/try-out")
	if err != nil {
		t.Fatal(err)
	}
	good := string(stream)
	const (
		predict  = "try-out: document 15 (Service tripcast/predict): "
		learn    = "try-out: document 16 (Service tripcast/learn): "
		monitor  = "try-out: document 17 (Service tripcast/monitor): "
		features = "try-out: document 19 (KafkaSource tripcast/features): "
		sink     = "try-out: document 12 (KafkaSink tripcast/predictions): "
		setup    = "try-out: document 11 (Job tripcast/setup): "
		binding  = "try-out: document 14 (SinkBinding tripcast/predict): "
	)
	for _, c := range []struct {
		name, old, with string
		line            string
	}{
		{
			"misspelt field", "containerConcurrency: 50", "containerConcurency: 50",
			predict + `spec.template.spec.containerConcurency: unknown field "spec.template.spec.containerConcurency"`,
		},
		{
			"doubled key", "consumerGroup: tripcast-features", "consumerGroup: tripcast-features\n  consumerGroup: other",
			features + `yaml: unmarshal errors: line 18: key "consumerGroup" already set in map`,
		},
		{
			"wrong type", "consumers: 3", "consumers: three",
			features + `spec.consumers: json: cannot unmarshal string into Go struct field KafkaSourceSpec.spec.consumers of type int32`,
		},
		{
			"unknown kind", "kind: KafkaSink\nmetadata", "kind: KafkaSnk\nmetadata",
			`try-out: document 12 (KafkaSnk tripcast/predictions): apiVersion: "eventing.knative.dev/v1alpha1" "KafkaSnk" is no kind that is deployed here`,
		},
		{
			"ordering", "ordering: unordered", "ordering: parallel",
			features + `spec.ordering: "parallel" is none of ordered, unordered`,
		},
		{
			"initialOffset", "initialOffset: earliest", "initialOffset: first",
			features + `spec.initialOffset: "first" is none of latest, earliest`,
		},
		{
			"backoffDelay", "backoffDelay: PT0.3S", "backoffDelay: 300ms",
			features + `spec.delivery.backoffDelay: "300ms" is not an ISO 8601 duration such as PT0.3S: expected 'P' period mark at the start: 300ms`,
		},
		{
			"no retry", "    retry: 10\n", "",
			features + "spec.delivery.retry: missing: a delivery without it is tried once",
		},
		{
			"no dead-letter sink", "    deadLetterSink:\n      ref:\n        apiVersion: eventing.knative.dev/v1alpha1\n        kind: KafkaSink\n        name: dead-letters\n", "",
			features + "spec.delivery.deadLetterSink: missing: an event that cannot be delivered would be lost",
		},
		{
			"sink that is nowhere", "      kind: Service\n      name: predict\n  topics", "      kind: Service\n      name: predikt\n  topics",
			features + "spec.sink.ref: points to serving.knative.dev/v1 Service tripcast/predikt, which no manifest defines",
		},
		{
			"no sink", "  sink:\n    ref:\n      apiVersion: eventing.knative.dev/v1alpha1\n      kind: KafkaSink\n      name: predictions\n", "",
			binding + "spec.sink: neither ref nor uri is given",
		},
		{
			"subject that is nowhere", "    kind: Service\n    name: predict\n---", "    kind: Service\n    name: forecast\n---",
			binding + "spec.subject: points to serving.knative.dev/v1 Service tripcast/forecast, which no manifest defines",
		},
		{
			"two brokers in one", "bootstrapServers:\n  - redpanda.tripcast.svc:9092\n  contentMode", "bootstrapServers:\n  - redpanda.tripcast.svc:9092,other:9092\n  contentMode",
			sink + `spec.bootstrapServers[0]: "redpanda.tripcast.svc:9092,other:9092" is not host:port, one to an entry`,
		},
		{
			"contentMode", "contentMode: binary", "contentMode: avro",
			sink + `spec.contentMode: "avro" is none of binary, structured`,
		},
		{
			"half a topic", "contentMode: binary", "contentMode: binary\n  numPartitions: 3",
			sink + "spec.numPartitions: a topic is created with both numPartitions and replicationFactor, or not at all",
		},
		{
			"lag threshold", `lag-threshold: "100"`, `lag-threshold: "many"`,
			features + `metadata.annotations: autoscaling.eventing.knative.dev/lag-threshold: "many" is not a whole number`,
		},
		{
			"unknown scaling", "autoscaling.eventing.knative.dev/min-scale", "autoscaling.eventing.knative.dev/minScale",
			features + "metadata.annotations: autoscaling.eventing.knative.dev/minScale is none of min-scale, max-scale, polling-interval, cooldown-period, lag-threshold, activation-lag-threshold",
		},
		{
			"min-scale", `autoscaling.knative.dev/min-scale: "1"`, `autoscaling.knative.dev/min-scale: one`,
			predict + "spec.template.metadata.annotations.autoscaling.knative.dev/min-scale: invalid value: one",
		},
		{
			"containerConcurrency", "containerConcurrency: 150", "containerConcurrency: -1",
			learn + "spec.template.spec.containerConcurrency: expected 0 <= -1 <= 1000",
		},
		{
			"a Secret that nobody brings", "key: url\n              name: materialize", "key: url\n              name: materialise",
			setup + "spec.template.spec.containers[0].env[9].valueFrom.secretKeyRef: points to Secret materialise, which no manifest defines, and which is none of kafka, materialize, monitor, redis that are yours to make",
		},
		{
			"a key that the Secret does not have", "key: url\n              name: redis", "key: uri\n              name: redis",
			setup + "spec.template.spec.containers[0].env[8].valueFrom.secretKeyRef: Secret redis has no key uri, only url",
		},
		{
			"a key of a Secret that nobody has to make", "key: token\n", "key: tokens\n",
			monitor + "spec.template.spec.containers[0].env[0].valueFrom.secretKeyRef: Secret monitor has no key tokens, only token",
		},
		{
			"a stream for longer than Knative lets one be", "timeoutSeconds: 600", "timeoutSeconds: 3600",
			monitor + "spec.template.spec.timeoutSeconds: expected 0 <= 3600 <= 600",
		},
		{
			"another broker", "name: KAFKA_BROKERS\n          value: redpanda.tripcast.svc:9092", "name: KAFKA_BROKERS\n          value: redpanda:9092",
			setup + "spec.template.spec.containers[0].env[0]: redpanda:9092 is not where KafkaSink tripcast/predictions finds Kafka, redpanda.tripcast.svc:9092",
		},
		{
			"a Job that restarts", "restartPolicy: Never", "restartPolicy: Always",
			setup + `spec.template.spec.restartPolicy: "Always" is none of Never, OnFailure, which are what a Job may have`,
		},
		{
			"no account", "serviceAccountName: setup", "serviceAccountName: set-up",
			setup + "spec.template.spec.serviceAccountName: points to ServiceAccount set-up, which no manifest defines",
		},
		{
			"root", "runAsNonRoot: true\n          runAsUser: 65532\n", "runAsNonRoot: true\n          runAsUser: 0\n",
			setup + "spec.template.spec.containers[0].securityContext.runAsUser: restricted containers do not run as root",
		},
		{
			"a selector that selects nothing", "  selector:\n    matchLabels:\n      app.kubernetes.io/name: redis\n", "  selector:\n    matchLabels:\n      app.kubernetes.io/name: other\n",
			"try-out: document 30 (StatefulSet tripcast/redis): spec.selector: does not match the labels of the template",
		},
		{
			"a volume that is not there", "volumeMounts:\n        - mountPath: /data\n          name: data", "volumeMounts:\n        - mountPath: /data\n          name: date",
			`try-out: document 30 (StatefulSet tripcast/redis): spec.template.spec.containers[0].volumeMounts: /data: the pod has no volume "date"`,
		},
		{
			"a probe of no port", "tcpSocket:\n            port: redis", "tcpSocket:\n            port: rediss",
			`try-out: document 30 (StatefulSet tripcast/redis): spec.template.spec.containers[0].livenessProbe: the container has no port "rediss"`,
		},
		{
			"the same twice", "kind: KafkaSink\nmetadata:\n  labels:\n    app.kubernetes.io/component: eventing\n    app.kubernetes.io/name: dead-letters\n    app.kubernetes.io/part-of: tripcast\n  name: dead-letters",
			"kind: KafkaSink\nmetadata:\n  labels:\n    app.kubernetes.io/component: eventing\n    app.kubernetes.io/name: dead-letters\n    app.kubernetes.io/part-of: tripcast\n  name: predictions",
			"try-out: document 13 (KafkaSink tripcast/predictions): metadata.name: already defined in try-out, document 12\n" +
				features + "spec.delivery.deadLetterSink.ref: points to eventing.knative.dev/v1alpha1 KafkaSink tripcast/dead-letters, which no manifest defines\n" +
				"try-out: document 20 (KafkaSource tripcast/labels): spec.delivery.deadLetterSink.ref: points to eventing.knative.dev/v1alpha1 KafkaSink tripcast/dead-letters, which no manifest defines\n" +
				"try-out: document 21 (KafkaSource tripcast/champions): spec.delivery.deadLetterSink.ref: points to eventing.knative.dev/v1alpha1 KafkaSink tripcast/dead-letters, which no manifest defines",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects, err := Decode("try-out", []byte(spoil(t, good, c.old, c.with)))
			if err == nil {
				err = Check(objects)
			}
			if err == nil {
				t.Fatal("taken")
			}
			if err.Error() != c.line {
				t.Errorf("got\n%v\nwant\n%s", err, c.line)
			}
		})
	}
}

// Everything wrong is said at once.
func TestMistakesTogether(t *testing.T) {
	stream, err := Render("overlays/production")
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.NewReplacer("ordering: unordered", "ordering: parallel", "key: ca.crt\n", "key: ca.pem\n", `min-scale: "1"`, `min-scale: "-1"`).Replace(string(stream))
	objects, err := Decode("production", []byte(bad))
	if err != nil {
		t.Fatal(err)
	}
	err = Check(objects)
	for _, want := range []string{
		"KafkaSource tripcast/features): spec.ordering", "KafkaSource tripcast/labels): spec.ordering",
		"spec.net.tls.caCert: Secret kafka has no key ca.pem", "Service tripcast/predict): spec.template.metadata.annotations", "autoscaling.eventing.knative.dev/min-scale",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}
}

// Each rule of PodSecurity "restricted" is broken once.
func TestRestricted(t *testing.T) {
	yes, no, root := true, false, int64(0)
	unmasked := corev1.UnmaskedProcMount
	good := func() *corev1.PodSpec {
		return &corev1.PodSpec{Containers: []corev1.Container{{SecurityContext: &corev1.SecurityContext{
			RunAsNonRoot: &yes, AllowPrivilegeEscalation: &no,
			Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"NET_BIND_SERVICE"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		}}}}
	}
	const at = "spec.template.spec.containers[0].securityContext"
	for _, c := range []struct {
		name  string
		spoil func(*corev1.PodSpec, *corev1.SecurityContext)
		field string // empty if there is nothing wrong
	}{
		{"nothing", func(*corev1.PodSpec, *corev1.SecurityContext) {}, ""},
		{"said by the pod", func(p *corev1.PodSpec, s *corev1.SecurityContext) {
			p.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: s.RunAsNonRoot, SeccompProfile: s.SeccompProfile}
			s.RunAsNonRoot, s.SeccompProfile = nil, nil
		}, ""},
		{"the pod's overruled", func(p *corev1.PodSpec, s *corev1.SecurityContext) {
			p.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: &yes}
			s.RunAsNonRoot = &no
		}, at + ".runAsNonRoot"},
		{"host network", func(p *corev1.PodSpec, _ *corev1.SecurityContext) { p.HostNetwork = true }, "spec.template.spec"},
		{"host path", func(p *corev1.PodSpec, _ *corev1.SecurityContext) {
			p.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{}}}}
		}, "spec.template.spec.volumes"},
		{"root, says the pod", func(p *corev1.PodSpec, _ *corev1.SecurityContext) {
			p.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &root}
		}, "spec.template.spec.securityContext.runAsUser"},
		{"SELinux", func(p *corev1.PodSpec, _ *corev1.SecurityContext) {
			p.SecurityContext = &corev1.PodSecurityContext{SELinuxOptions: &corev1.SELinuxOptions{Type: "spc_t"}}
		}, "spec.template.spec.securityContext"},
		{"privileged", func(_ *corev1.PodSpec, s *corev1.SecurityContext) { s.Privileged = &yes }, at + ".privileged"},
		{"escalation", func(_ *corev1.PodSpec, s *corev1.SecurityContext) { s.AllowPrivilegeEscalation = nil }, at + ".allowPrivilegeEscalation"},
		{"capabilities kept", func(_ *corev1.PodSpec, s *corev1.SecurityContext) { s.Capabilities = nil }, at + ".capabilities"},
		{"capabilities added", func(_ *corev1.PodSpec, s *corev1.SecurityContext) {
			s.Capabilities.Add = []corev1.Capability{"SYS_ADMIN"}
		}, at + ".capabilities"},
		{"root allowed", func(_ *corev1.PodSpec, s *corev1.SecurityContext) { s.RunAsNonRoot = nil }, at + ".runAsNonRoot"},
		{"root", func(_ *corev1.PodSpec, s *corev1.SecurityContext) { s.RunAsUser = &root }, at + ".runAsUser"},
		{"unconfined", func(_ *corev1.PodSpec, s *corev1.SecurityContext) {
			s.SeccompProfile.Type = corev1.SeccompProfileTypeUnconfined
		}, at + ".seccompProfile"},
		{"no seccomp", func(_ *corev1.PodSpec, s *corev1.SecurityContext) { s.SeccompProfile = nil }, at + ".seccompProfile"},
		{"proc", func(_ *corev1.PodSpec, s *corev1.SecurityContext) { s.ProcMount = &unmasked }, at},
		{"a port of the host", func(p *corev1.PodSpec, _ *corev1.SecurityContext) {
			p.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80}}
		}, "spec.template.spec.containers[0].ports"},
		{"an init container", func(p *corev1.PodSpec, s *corev1.SecurityContext) {
			p.InitContainers = []corev1.Container{{SecurityContext: s.DeepCopy()}}
			p.InitContainers[0].SecurityContext.Privileged = &yes
		}, "spec.template.spec.initContainers[0].securityContext.privileged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := good()
			c.spoil(spec, spec.Containers[0].SecurityContext)
			problems := restricted(pods{at: "spec.template", spec: spec})
			switch {
			case c.field == "" && len(problems) > 0:
				t.Errorf("refused: %v", problems)
			case c.field != "" && (len(problems) != 1 || problems[0].Field != c.field):
				t.Errorf("got %v, want %s alone", problems, c.field)
			}
		})
	}
	if problems := restricted(pods{spec: &corev1.PodSpec{Containers: []corev1.Container{{}}}}); len(problems) != 4 {
		t.Errorf("a container that says nothing: %v", problems)
	}
}
