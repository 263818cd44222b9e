package manifest

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"
)

// The apiVersions of the kinds below, and of what they refer to.
const (
	SourcesV1       = "sources.knative.dev/v1"
	ServingV1       = "serving.knative.dev/v1"
	KafkaEventingV1 = "eventing.knative.dev/v1alpha1"
)

// The values of the fields that take one of a few.
const (
	OrderingOrdered   = "ordered"
	OrderingUnordered = "unordered"

	OffsetEarliest = "earliest"
	OffsetLatest   = "latest"

	ContentModeBinary     = "binary"
	ContentModeStructured = "structured"
)

// KafkaSource is sources.knative.dev/v1 KafkaSource. Its Go type lives in a
// module that the Go proxy does not serve, so its fields are written out here
// on the types that Knative shares between all sources.
type KafkaSource struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec KafkaSourceSpec `json:"spec"`
}

// KafkaSourceSpec is what a KafkaSource may say.
type KafkaSourceSpec struct {
	duckv1.SourceSpec `json:",inline"` // sink, ceOverrides

	BootstrapServers []string `json:"bootstrapServers"`
	Topics           []string `json:"topics"`

	// ConsumerGroup defaults to knative-kafka-source-<namespace>-<name>.
	// Knative makes up a random one, which a laptop would not find again.
	ConsumerGroup string `json:"consumerGroup,omitempty"`

	// Consumers defaults to 1; 0 pauses the source.
	Consumers *int32 `json:"consumers,omitempty"`

	InitialOffset string `json:"initialOffset,omitempty"` // default latest
	Ordering      string `json:"ordering,omitempty"`      // default ordered

	// Delivery has no default but for being absent: see ReadDelivery.
	Delivery *eventingduckv1.DeliverySpec `json:"delivery,omitempty"`

	// Net refers to credentials in Secrets.
	Net *KafkaNet `json:"net,omitempty"`
}

// KafkaNet says how a KafkaSource authenticates.
type KafkaNet struct {
	SASL *KafkaSASL `json:"sasl,omitempty"`
	TLS  *KafkaTLS  `json:"tls,omitempty"`
}

// KafkaSASL is a name and a password. Without Type the mechanism is PLAIN.
type KafkaSASL struct {
	Enable   bool       `json:"enable,omitempty"`
	User     *SecretKey `json:"user,omitempty"`
	Password *SecretKey `json:"password,omitempty"`
	Type     *SecretKey `json:"type,omitempty"`
}

// KafkaTLS is whom to trust, and a client's certificate.
type KafkaTLS struct {
	Enable bool       `json:"enable,omitempty"`
	Cert   *SecretKey `json:"cert,omitempty"`
	Key    *SecretKey `json:"key,omitempty"`
	CACert *SecretKey `json:"caCert,omitempty"`
}

// SecretKey is a key of a Secret. Knative wants it there and not empty, whatever
// Optional says.
type SecretKey struct {
	SecretKeyRef *struct {
		Name     string `json:"name"`
		Key      string `json:"key"`
		Optional *bool  `json:"optional,omitempty"`
	} `json:"secretKeyRef,omitempty"`
}

// SecretKeys are the keys of Secrets that are referred to, by the field.
func (n *KafkaNet) SecretKeys() map[string]*SecretKey {
	keys := map[string]*SecretKey{}
	if n == nil {
		return keys
	}
	if s := n.SASL; s != nil {
		keys["spec.net.sasl.user"], keys["spec.net.sasl.password"], keys["spec.net.sasl.type"] = s.User, s.Password, s.Type
	}
	if t := n.TLS; t != nil {
		keys["spec.net.tls.cert"], keys["spec.net.tls.key"], keys["spec.net.tls.caCert"] = t.Cert, t.Key, t.CACert
	}
	for field, key := range keys {
		if key == nil {
			delete(keys, field)
		}
	}
	return keys
}

// KafkaSink is eventing.knative.dev/v1alpha1 KafkaSink.
type KafkaSink struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec KafkaSinkSpec `json:"spec"`
}

// KafkaSinkSpec is what a KafkaSink may say.
type KafkaSinkSpec struct {
	BootstrapServers []string `json:"bootstrapServers"`
	Topic            string   `json:"topic"`

	// NumPartitions and ReplicationFactor are for a topic that does not exist
	// yet, and which is then deleted with the KafkaSink. Without them it has to.
	NumPartitions     *int32 `json:"numPartitions,omitempty"`
	ReplicationFactor *int16 `json:"replicationFactor,omitempty"`

	ContentMode string `json:"contentMode,omitempty"` // default binary

	// Auth refers to a Secret whose keys say all of it: protocol, user, ...
	Auth *KafkaAuth `json:"auth,omitempty"`
}

// KafkaAuth says how a KafkaSink authenticates.
type KafkaAuth struct {
	Secret *struct {
		Ref *struct {
			Name string `json:"name"`
		} `json:"ref,omitempty"`
	} `json:"secret,omitempty"`
}

// SinkBinding is sources.knative.dev/v1 SinkBinding. Knative's own Go type
// would bring client-go with it, so its two halves are joined here again.
type SinkBinding struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec SinkBindingSpec `json:"spec"`
}

// SinkBindingSpec is a source's half (sink, ceOverrides) and a binding's
// (subject).
type SinkBindingSpec struct {
	duckv1.SourceSpec  `json:",inline"`
	duckv1.BindingSpec `json:",inline"`
}
