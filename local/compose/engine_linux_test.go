package compose

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// envInside names the folder of the engine's data to a test that runs in
// namespaces of its own.
const envInside = "TRIPCAST_COMPOSE_INSIDE"

// runInside runs this very test again as the first process of network, mount and
// process namespaces of its own. There it can start a Docker engine that nobody
// else sees, on ports that nobody else has; and when it ends, however it ends,
// the kernel ends the engine, its containers and its mounts.
func runInside(t *testing.T) {
	t.Helper()
	// The child is killed when the thread that has started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	args := []string{"-test.run=^" + t.Name() + "$", "-test.count=1", "-test.v"}
	if deadline, ok := t.Deadline(); ok {
		args = append(args, "-test.timeout="+time.Until(deadline).String())
	}
	inside := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	inside.Env = append(os.Environ(), envInside+"="+emptied(t, root+"/.task/docker"))
	inside.Stdout, inside.Stderr = os.Stdout, os.Stderr
	inside.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	if err := inside.Run(); err != nil {
		t.Fatalf("in namespaces of its own: %v", err)
	}
}

// emptied is a folder that was and will be removed, so that what an interrupted
// test leaves is gone with the next one: an engine's data is large.
func emptied(t *testing.T, path string) string {
	t.Helper()
	folder, err := filepath.Abs(path)
	if err == nil {
		err = errors.Join(os.RemoveAll(folder), os.MkdirAll(folder, 0o700))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Errorf("removing the engine's data: %v", err)
		}
	})
	return folder
}

// furnish makes new namespaces fit for an engine: a /proc of their processes, a
// /run without anybody's sockets, and a loopback that is up.
func furnish(t *testing.T) {
	t.Helper()
	err := errors.Join(
		syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("proc", "/proc", "proc", 0, ""),
		syscall.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"),
		loopbackUp(),
	)
	if err != nil {
		t.Fatalf("furnishing the namespaces: %v", err)
	}
}

// loopbackUp is `ip link set lo up`, which not every machine has.
func loopbackUp() error {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(socket)
	request := struct { // struct ifreq
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_UP | syscall.IFF_RUNNING}
	copy(request.name[:], "lo")
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(socket), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return errno
	}
	return nil
}

// startEngine starts a Docker engine where clients look for it, and stops it
// when the test has ended.
func startEngine(t *testing.T, dir string) {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, "dockerd.log"))
	if err != nil {
		t.Fatal(err)
	}
	// The networks are compose's; the engine's own is of no use here.
	engine := exec.Command("dockerd", "--data-root="+filepath.Join(dir, "data"), "--bridge=none")
	engine.Stdout, engine.Stderr = log, log
	if err := engine.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- engine.Wait() }()
	t.Cleanup(func() {
		_ = engine.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(30 * time.Second): // what started it will end it
			t.Error("dockerd did not stop within 30 s")
		}
		log.Close()
	})
	for exec.Command("docker", "version").Run() != nil {
		select {
		case err := <-ended:
			ended <- err
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("dockerd ended: %v\n%s", err, text)
		case <-t.Context().Done():
			t.Fatal("dockerd did not answer in time")
		case <-time.After(200 * time.Millisecond):
		}
	}
}
