package stream

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	wire "github.com/jeroenrinzema/psql-wire"
	"github.com/jeroenrinzema/psql-wire/codes"
	psqlerr "github.com/jeroenrinzema/psql-wire/errors"
)

// client is a connection that notices at once that its other end has gone, also
// while a FETCH waits and nobody reads: it reads ahead.
type client struct {
	net.Conn
	ahead   *io.PipeReader
	gone    context.Context
	serving context.Context // of Serve

	// What a cancel request names, and what it cancels.
	process, secret int32
	mu              sync.Mutex
	cancel          context.CancelCauseFunc // of the statement that runs, or nil
}

var (
	errGone      = errors.New("the client has gone")
	errStopping  = psqlerr.WithCode(errors.New("terminating connection: the stand-in stops"), codes.AdminShutdown)
	errCancelled = psqlerr.WithCode(errors.New("canceling statement due to user request"), codes.QueryCanceled)
)

func newClient(serving context.Context, conn net.Conn) *client {
	gone, leave := context.WithCancel(context.Background())
	read, write := io.Pipe()
	c := &client{Conn: conn, ahead: read, gone: gone, serving: serving}
	var key [8]byte
	_, _ = rand.Read(key[:])                                   // it never fails
	c.process = int32(binary.LittleEndian.Uint32(key[:]) >> 1) // as a process id, not negative
	c.secret = int32(binary.LittleEndian.Uint32(key[4:]))
	go func() {
		_, err := io.Copy(write, conn)
		leave()
		_ = write.CloseWithError(err) // nil is io.EOF
	}()
	return c
}

func (c *client) Read(b []byte) (int, error) {
	n, err := c.ahead.Read(b)
	if errors.Is(err, io.ErrClosedPipe) {
		err = net.ErrClosed // which it means
	}
	return n, err
}

func (c *client) Close() error {
	err := c.Conn.Close()
	_ = c.ahead.Close() // the goroutine may stand in a write
	return err
}

// RemoteAddr carries the client: an address is the one thing of a connection
// that psql-wire hands on.
func (c *client) RemoteAddr() net.Addr { return clientAddr{c.Conn.RemoteAddr(), c} }

type clientAddr struct {
	net.Addr
	client *client
}

func clientOf(ctx context.Context) (*client, bool) {
	a, ok := wire.RemoteAddress(ctx).(clientAddr)
	return a.client, ok
}

// statement gives a statement a context that ends when it is cancelled, the
// client has gone, or Serve ends.
func (c *client) statement(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	alone := context.AfterFunc(c.gone, func() { cancel(errGone) })
	last := context.AfterFunc(c.serving, func() { cancel(errStopping) })
	c.set(cancel)
	return ctx, func() {
		c.set(nil)
		alone()
		last()
		cancel(nil)
	}
}

func (c *client) set(cancel context.CancelCauseFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel = cancel
}

// clients are those that Serve has accepted.
type clients struct {
	net.Listener
	ctx context.Context
	mu  sync.Mutex
	all map[*client]bool
}

// Accept waits for the next client.
func (l *clients) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := newClient(l.ctx, conn)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all[c] = true
	context.AfterFunc(c.gone, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.all, c)
	})
	return c, nil
}

// hangUp closes what is still open.
func (l *clients) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.all {
		_ = c.Close()
	}
}

// cancel ends the statement that a client runs.
func (l *clients) cancel(_ context.Context, process, secret int32) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.all {
		if c.process != process || c.secret != secret {
			continue
		}
		c.mu.Lock()
		if c.cancel != nil {
			c.cancel(errCancelled)
		}
		c.mu.Unlock()
	}
	return nil
}
