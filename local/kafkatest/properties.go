package kafkatest

import (
	"fmt"
	"path/filepath"
	"strings"
)

// log4j lets the broker say what is wrong.
const log4j = `
rootLogger.level = warn
rootLogger.appenderRef.stdout.ref = stdout
appender.stdout.type = Console
appender.stdout.name = stdout
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{HH:mm:ss.SSS} %p %m (%c{1})%n
`

// properties are the broker's: those of one node with as little as it needs
// where Kafka's defaults are for a cluster. Whatever concerns what clients see,
// transactions and timeouts above all, is Kafka's own default.
func properties(dir string, addresses map[Protocol]string, controller string) string {
	var listeners []string
	for _, p := range protocols {
		listeners = append(listeners, fmt.Sprintf("%s://%s", p, addresses[p]))
	}
	lines := []string{
		"process.roles=broker,controller",
		"node.id=1",
		"controller.quorum.voters=1@" + controller,
		"controller.listener.names=CONTROLLER",
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
		"listeners=" + strings.Join(append(listeners, "CONTROLLER://"+controller), ","),
		"advertised.listeners=" + strings.Join(listeners, ","),
		"inter.broker.listener.name=PLAINTEXT",
		"log.dirs=" + filepath.Join(dir, "data"),
		"auto.create.topics.enable=false",
		"offsets.topic.replication.factor=1",
		"offsets.topic.num.partitions=3",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"transaction.state.log.num.partitions=3",
		// A test waits for nobody else to join its group.
		"group.initial.rebalance.delay.ms=0",
		"ssl.keystore.type=PEM",
		"ssl.keystore.location=" + filepath.Join(dir, "server.pem"),
		"ssl.truststore.type=PEM",
		"ssl.truststore.location=" + filepath.Join(dir, "ca.pem"),
		"listener.name.ssl.ssl.client.auth=required",
		"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
	}
	const modules = "org.apache.kafka.common.security"
	for _, listener := range []string{"sasl_plaintext", "sasl_ssl"} {
		lines = append(
			lines,
			fmt.Sprintf(`listener.name.%s.plain.sasl.jaas.config=%s.plain.PlainLoginModule required user_%s="%s";`, listener, modules, User, Password),
			fmt.Sprintf("listener.name.%s.scram-sha-256.sasl.jaas.config=%s.scram.ScramLoginModule required;", listener, modules),
			fmt.Sprintf("listener.name.%s.scram-sha-512.sasl.jaas.config=%s.scram.ScramLoginModule required;", listener, modules),
		)
	}
	return strings.Join(lines, "\n") + "\n"
}
