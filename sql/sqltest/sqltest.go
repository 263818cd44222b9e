// Package sqltest is a Materialize for tests of what applies a program: it speaks
// as much of the Postgres protocol as that needs, remembers every statement, and
// keeps a catalogue of what the statements created. It evaluates nothing.
package sqltest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"tripcast.dev/sql"
)

// Server stands in for Materialize. Its methods may be called while it serves.
type Server struct {
	Address string

	mu         sync.Mutex
	options    Options
	statements []string
	objects    []*Object
	ids        int
}

// Options are how a Server behaves. The zero value takes what Materialize takes
// with its switches as they are by default.
type Options struct {
	Password    string                                         // asked for, if there is one
	Starting    *pgproto3.ErrorResponse                        // the answer to a connection, if set
	Refuse      func(statement string) *pgproto3.ErrorResponse // of statements, nil takes one
	HangUp      func(statement string) bool                    // instead of an answer
	NoCatalogue bool                                           // as of an older stand-in
	NoTables    bool                                           // no CREATE TABLE … FROM SOURCE
	ForceTables bool                                           // no CREATE SOURCE with a format
	Clusters    []string                                       // quickstart and Materialize's own if nil
}

// Object is an entry of the catalogue.
type Object struct {
	sql.Object
	ID      string
	Comment string
	Uses    []string // names
}

// Start serves until the test ends.
func Start(t testing.TB, address string) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Address: listener.Addr().String()}
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
				if err := s.serve(conn); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("the stand-in of Materialize: %v", err)
				}
			})
		}
	})
	return s
}

// Set changes how the server behaves from now on.
func (s *Server) Set(change func(*Options)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.options)
}

// Taken are the statements so far, each on one line.
func (s *Server) Taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, statement := range s.statements {
		all = append(all, strings.Join(strings.Fields(statement), " "))
	}
	return all
}

// Changes are the statements so far that are no questions.
func (s *Server) Changes() []string {
	return slices.DeleteFunc(s.Taken(), func(statement string) bool { return strings.HasPrefix(statement, "SELECT ") })
}

// Objects are what is in the catalogue, each as "type name comment".
func (s *Server) Objects() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, o := range s.objects {
		all = append(all, strings.TrimSpace(o.Type+" "+o.Name+" "+o.Comment))
	}
	return all
}

// Run is a statement that somebody else sends.
func (s *Server) Run(t testing.TB, statement string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.change(statement) {
		if refusal, ok := m.(*pgproto3.ErrorResponse); ok {
			t.Fatalf("%s: %s", statement, refusal.Message)
		}
	}
}

// Drop takes objects out of the catalogue, and no others with them.
func (s *Server) Drop(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects = slices.DeleteFunc(s.objects, func(o *Object) bool { return slices.Contains(names, o.Name) })
}

func (s *Server) serve(conn net.Conn) error {
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
	if refusal, err := s.greet(backend); err != nil || refusal != nil {
		if refusal != nil {
			backend.Send(refusal)
			err = backend.Flush()
		}
		return err
	}
	backend.Send(&pgproto3.AuthenticationOk{})
	backend.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	backend.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
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
			answers := s.answer(message.String)
			if answers == nil {
				return nil
			}
			for _, m := range answers {
				backend.Send(m)
			}
		case *pgproto3.Terminate:
			return nil
		}
	}
}

// greet asks for the password.
func (s *Server) greet(backend *pgproto3.Backend) (refusal *pgproto3.ErrorResponse, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.options.Starting != nil || s.options.Password == "" {
		return s.options.Starting, nil
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
	if given, ok := message.(*pgproto3.PasswordMessage); !ok || given.Password != s.options.Password {
		return &pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: "invalid password"}, nil
	}
	return nil, nil
}

// answer is nil where the server hangs up.
func (s *Server) answer(statement string) []pgproto3.BackendMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.statements = append(s.statements, statement)
	if s.options.HangUp != nil && s.options.HangUp(statement) {
		return nil
	}
	if s.options.Refuse != nil {
		if refusal := s.options.Refuse(statement); refusal != nil {
			return []pgproto3.BackendMessage{refusal}
		}
	}
	if strings.HasPrefix(statement, "SELECT ") {
		return s.question(statement)
	}
	return s.change(statement)
}

func refuse(code, format string, arguments ...any) []pgproto3.BackendMessage {
	return []pgproto3.BackendMessage{&pgproto3.ErrorResponse{Severity: "ERROR", Code: code, Message: fmt.Sprintf(format, arguments...)}}
}

func done(tag string) []pgproto3.BackendMessage {
	return []pgproto3.BackendMessage{&pgproto3.CommandComplete{CommandTag: []byte(tag)}}
}
