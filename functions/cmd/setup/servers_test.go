package main

import (
	"bytes"
	"net"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kfake"

	"tripcast.dev/sql/sqltest"
)

const secret = "s3'cret"

// environment is where a test's servers are.
type environment map[string]string

// with is the environment with some variables changed.
func (e environment) with(pairs ...string) environment {
	changed := environment{}
	for name, value := range e {
		changed[name] = value
	}
	for i := 0; i < len(pairs); i += 2 {
		changed[pairs[i]] = pairs[i+1]
	}
	return changed
}

// run is the command, to its end.
func (e environment) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, func(name string) string { return e[name] }, &out, &errs)
	return code, out.String(), errs.String()
}

// servers are all that setup needs, none of which trusts everybody.
func servers(t *testing.T, opts ...kfake.Opt) (environment, *kfake.Cluster, *miniredis.Miniredis, *sqltest.Server) {
	t.Helper()
	cluster := startKafka(t, append([]kfake.Opt{kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "app", secret)}, opts...)...)
	store := miniredis.RunT(t)
	store.RequireUserAuth("app", secret)
	server := sqltest.Start(t, "127.0.0.1:0")
	server.Set(func(o *sqltest.Options) { o.Password = secret })
	return environment{
		"KAFKA_BROKERS": cluster.ListenAddrs()[0], "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
		"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256", "KAFKA_USERNAME": "app", "KAFKA_PASSWORD": secret,
		"REDIS_URL":       "redis://app:s3%27cret@" + store.Addr(),
		"MATERIALIZE_URL": "postgres://app:s3%27cret@" + server.Address + "/materialize",
	}, cluster, store, server
}

func startKafka(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster
}

// nobody is an address at which nobody listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
