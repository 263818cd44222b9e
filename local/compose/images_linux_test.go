package compose

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// contexts is where compose.embedded.yaml finds a build context for each image:
// a Dockerfile, and the root of the image's file system.
const contexts = root + "/.task/compose"

// buildContexts builds on the host what the images are made of. They are FROM
// scratch, so it has to be static, or to bring its libraries.
func buildContexts(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(contexts); err != nil {
		t.Fatal(err)
	}
	for _, function := range []string{"predict", "learn", "promote", "monitor", "setup", "simulate"} {
		goBuild(t, function, "./functions/cmd/"+function)
		dockerfile(t, function, "65532:65532", `ENTRYPOINT ["/`+function+`"]`)
	}
	goBuild(t, "local", "./local")
	dockerfile(t, "local", "65532:65532", `ENTRYPOINT ["/local"]`)
	copyRedis(t)
	dockerfile(t, "redis", "999:999", "")
}

// dockerfile writes how an image is made of its folder. A new volume takes its
// owner from the folder that it hides, so there is one.
func dockerfile(t *testing.T, image, user, entrypoint string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(contexts, image, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := "FROM scratch\nCOPY root /\nCOPY --chown=" + user + " data /data\nUSER " + user + "\n" + entrypoint + "\n"
	if err := os.WriteFile(filepath.Join(contexts, image, "Dockerfile"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// goBuild compiles a command into an image's folder, as local/Dockerfile does.
func goBuild(t *testing.T, image, command string) {
	t.Helper()
	args := []string{"build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(".task/compose", image, "root") + "/"}
	cgo := "CGO_ENABLED=0"
	if command == "./local" {
		cgo = "CGO_ENABLED=1"
		args = append(args, "-tags=netgo,osusergo", "-ldflags=-s -w -linkmode=external -extldflags=-static")
	} else {
		args = append(args, "-tags=lambda.norpc", "-ldflags=-s -w")
	}
	build := exec.Command("go", append(args, command)...)
	build.Dir, build.Env = root, append(os.Environ(), cgo)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go %v: %v\n%s", build.Args[1:], err, out)
	}
}

// copyRedis copies the host's Redis with the libraries that it says to need, to
// the same places.
func copyRedis(t *testing.T) {
	t.Helper()
	for _, name := range []string{"redis-server", "redis-cli"} {
		binary, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		libraries, err := exec.Command("ldd", binary).Output()
		if err != nil {
			t.Fatalf("ldd %s: %v", binary, err)
		}
		copyFile(t, binary, filepath.Join(contexts, "redis/root/usr/bin", name), 0o755)
		for line := range bytes.Lines(libraries) {
			for _, word := range strings.Fields(string(line)) {
				if filepath.IsAbs(word) {
					copyFile(t, word, filepath.Join(contexts, "redis/root", word), 0o755)
				}
			}
		}
	}
}

// copyFile copies what a path leads to.
func copyFile(t *testing.T, from, to string, mode fs.FileMode) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, text, mode); err != nil {
		t.Fatal(err)
	}
}
