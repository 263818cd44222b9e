package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// apiServer is Kubernetes as far as this test needs it: etcd, kube-apiserver, and
// of the controllers those that delete (namespaces, and what belongs to an object
// that is gone).
type apiServer struct {
	kubeconfig string
}

const token = "the-test"

// startAPIServer starts it, with the binaries of a folder, and stops it with the
// test.
func startAPIServer(t *testing.T, tools string) *apiServer {
	t.Helper()
	dir := t.TempDir()
	etcd := "http://" + freeAddress(t)
	start(t, "etcd", "etcd", "--data-dir", filepath.Join(dir, "etcd"), "--log-level", "error",
		"--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", "http://"+freeAddress(t))
	waitFor(t, etcd+"/health")

	key := filepath.Join(dir, "accounts.key")
	writeKey(t, key)
	tokens := filepath.Join(dir, "tokens.csv")
	write(t, tokens, token+",test,test,system:masters\n")
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	exited := start(t, "kube-apiserver", filepath.Join(tools, "kube-apiserver"),
		"--etcd-servers", etcd, "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1", "--secure-port", port,
		"--cert-dir", filepath.Join(dir, "certificates"), "--token-auth-file", tokens, "--authorization-mode", "RBAC",
		"--service-account-issuer", "https://"+address, "--service-account-key-file", key, "--service-account-signing-key-file", key,
		"--service-cluster-ip-range", "10.0.0.0/24",
		// No controller makes the accounts' tokens. PodSecurity is on by default.
		"--disable-admission-plugins", "ServiceAccount")

	s := &apiServer{kubeconfig: filepath.Join(dir, "kubeconfig")}
	write(t, s.kubeconfig, fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://%s", insecure-skip-tls-verify: true}}]
users: [{name: test, user: {token: %s}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
current-context: test
`, address, token))
	s.awaitReady(t, exited)
	start(t, "kube-controller-manager", filepath.Join(tools, "kube-controller-manager"),
		"--kubeconfig", s.kubeconfig, "--leader-elect=false", "--secure-port=0",
		"--controllers=namespace-controller,garbage-collector-controller")
	return s
}

// awaitReady waits until the API server says that it is.
func (s *apiServer) awaitReady(t *testing.T, exited <-chan struct{}) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for {
		out, err := exec.Command("kubectl", "--kubeconfig", s.kubeconfig, "get", "--raw", "/readyz").CombinedOutput()
		if err == nil {
			return
		}
		select {
		case <-exited:
			t.Fatal("kube-apiserver has ended")
		case <-deadline:
			t.Fatalf("kube-apiserver is not ready: %s", out)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// kubectl runs kubectl and returns what it prints.
func (s *apiServer) kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := s.try(t, stdin, args...)
	if err != nil {
		t.Fatalf("kubectl %v: %v", args, err)
	}
	return out
}

func (s *apiServer) try(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	out, err := processes{}.run(t.Context(), command{
		name:  "kubectl",
		args:  append([]string{"--kubeconfig", s.kubeconfig}, args...),
		stdin: []byte(stdin),
	})
	return string(out), err
}

// start starts a server, ends it with the test, and shows what it said if the
// test has failed.
func start(t *testing.T, name, file string, args ...string) (exited <-chan struct{}) {
	t.Helper()
	var log tail
	cmd := exec.Command(file, args...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // it is killed in the end, and that is no error
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
		if t.Failed() {
			t.Logf("the last of what %s said:\n%s", name, log.String())
		}
	})
	return done
}

// tail keeps the last of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept bytes.Buffer
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept.Write(p)
	if over := l.kept.Len() - 4000; over > 0 {
		l.kept.Next(over)
	}
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.kept.String()
}

// freeAddress is an address of this machine that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// waitFor waits until a URL answers with 200.
func waitFor(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s does not answer: %v", url, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeKey writes a new key for the tokens of service accounts.
func writeKey(t *testing.T, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})))
}
