package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/twmb/franz-go/pkg/kfake"
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
func servers(t *testing.T, opts ...kfake.Opt) (environment, *kfake.Cluster, *miniredis.Miniredis, *materializeServer) {
	t.Helper()
	cluster := startKafka(t, append([]kfake.Opt{kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "app", secret)}, opts...)...)
	store := miniredis.RunT(t)
	store.RequireUserAuth("app", secret)
	server := startMaterialize(t, "127.0.0.1:0")
	server.password = secret
	return environment{
		"KAFKA_BROKERS": cluster.ListenAddrs()[0], "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
		"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256", "KAFKA_USERNAME": "app", "KAFKA_PASSWORD": secret,
		"REDIS_URL":       "redis://app:s3%27cret@" + store.Addr(),
		"MATERIALIZE_URL": "postgres://app:s3%27cret@" + server.address + "/materialize",
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

// materializeServer speaks as much of the Postgres protocol as setup does, takes
// every statement that it is not told to refuse, and remembers them.
type materializeServer struct {
	address  string
	password string // asked for, if there is one

	mu         sync.Mutex
	starting   *pgproto3.ErrorResponse // the answer to a connection, if set
	refuse     func(statement string) *pgproto3.ErrorResponse
	statements []string
}

func startMaterialize(t *testing.T, address string) *materializeServer {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	m := &materializeServer{address: listener.Addr().String()}
	var serving sync.WaitGroup
	t.Cleanup(func() { listener.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				if err := m.serve(conn); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("the stand-in of Materialize: %v", err)
				}
			})
		}
	})
	return m
}

// set changes how the server behaves.
func (m *materializeServer) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// taken are the statements so far, each on one line.
func (m *materializeServer) taken() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for _, s := range m.statements {
		all = append(all, strings.Join(strings.Fields(s), " "))
	}
	return all
}

func (m *materializeServer) serve(conn net.Conn) error {
	backend := pgproto3.NewBackend(conn, conn)
	message, err := backend.ReceiveStartupMessage()
	if _, ok := message.(*pgproto3.SSLRequest); ok && err == nil {
		if _, err = conn.Write([]byte("N")); err == nil {
			_, err = backend.ReceiveStartupMessage()
		}
	}
	if err != nil {
		return nil // who does not speak the protocol is turned away
	}
	if refusal, err := m.greet(backend); err != nil || refusal != nil {
		if refusal != nil {
			backend.Send(refusal)
			err = backend.Flush()
		}
		return err
	}
	backend.Send(&pgproto3.AuthenticationOk{})
	for {
		backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if err := backend.Flush(); err != nil {
			return err
		}
		message, err := backend.Receive()
		if err != nil {
			return err
		}
		switch message := message.(type) {
		case *pgproto3.Query:
			backend.Send(m.answer(message.String))
		case *pgproto3.Terminate:
			return nil
		}
	}
}

// greet asks for the password.
func (m *materializeServer) greet(backend *pgproto3.Backend) (refusal *pgproto3.ErrorResponse, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.starting != nil || m.password == "" {
		return m.starting, nil
	}
	backend.Send(&pgproto3.AuthenticationCleartextPassword{})
	if err := backend.Flush(); err != nil {
		return nil, err
	}
	if err := backend.SetAuthType(pgproto3.AuthTypeCleartextPassword); err != nil {
		return nil, err
	}
	message, err := backend.Receive()
	if err != nil {
		return nil, err
	}
	if given, ok := message.(*pgproto3.PasswordMessage); !ok || given.Password != m.password {
		return &pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: "invalid password"}, nil
	}
	return nil, nil
}

func (m *materializeServer) answer(statement string) pgproto3.BackendMessage {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.statements = append(m.statements, statement)
	if m.refuse != nil {
		if refusal := m.refuse(statement); refusal != nil {
			return refusal
		}
	}
	return &pgproto3.CommandComplete{CommandTag: []byte("OK")}
}
