package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"unsafe"
)

// withoutSockets in the environment makes the test below the process that may
// open none; its value is what it does.
const withoutSockets = "TRIPCAST_TEST_WITHOUT_SOCKETS"

// A backtest opens no socket: in a process that the kernel kills when one is
// opened, it runs to its end.
func TestBacktestOpensNoSocket(t *testing.T) {
	if does := os.Getenv(withoutSockets); does != "" {
		beWithoutSockets(t, does)
		return
	}
	if out, err := without(t, "nothing"); err != nil {
		t.Skipf("SKIPPED: this system does not let a process renounce sockets (seccomp): %v\n%s", err, out)
	}
	out, err := without(t, "listens")
	if exit, ok := err.(*exec.ExitError); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGSYS {
		t.Fatalf("a process that listens ended with %v, want it killed\n%s", err, out)
	}
	if out, err := without(t, "backtest"); err != nil || !bytes.Contains(out, []byte("city-grid")) {
		t.Errorf("a backtest without sockets: %v\n%s", err, out)
	}
}

func without(t *testing.T, does string) ([]byte, error) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), withoutSockets+"="+does)
	return cmd.CombinedOutput()
}

func beWithoutSockets(t *testing.T, does string) {
	renounceSockets(t)
	switch does {
	case "listens":
		if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
			l.Close()
		}
	case "backtest":
		code := run(t.Context(), invoke(os.Stdout, os.Stderr, "backtest", "--trips", "synthetic", "--limit", "200", "--compare", "city-grid", "decision-tree"))
		if code != exitOK {
			t.Errorf("exit code %d", code)
		}
	}
}

// renounceSockets lets the kernel end this process when any of its threads asks
// for a socket.
func renounceSockets(t *testing.T) {
	type instruction struct {
		code   uint16
		jt, jf uint8
		k      uint32
	}
	type program struct {
		length uint16
		filter *instruction
	}
	// Of bpf(2) and seccomp(2).
	const (
		loadWord, jumpIfEqual, giveBack = 0x20, 0x15, 0x06
		allow, kill                     = 0x7fff0000, 0x80000000
		setNoNewPrivs                   = 38
		setModeFilter, allThreads       = 1, 1
	)
	seccomp := map[string]uintptr{"amd64": 317, "arm64": 277}[runtime.GOARCH]
	if seccomp == 0 {
		t.Fatalf("the number of seccomp(2) on %s is not known here", runtime.GOARCH)
	}
	filter := []instruction{
		{loadWord, 0, 0, 0}, // the number of the call
		{jumpIfEqual, 0, 1, syscall.SYS_SOCKET},
		{giveBack, 0, 0, kill},
		{giveBack, 0, 0, allow},
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, setNoNewPrivs, 1, 0, 0, 0, 0); errno != 0 {
		t.Fatalf("prctl: %v", errno)
	}
	p := program{uint16(len(filter)), &filter[0]}
	if _, _, errno := syscall.RawSyscall(seccomp, setModeFilter, allThreads, uintptr(unsafe.Pointer(&p))); errno != 0 {
		t.Fatalf("seccomp: %v", errno)
	}
}
