package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// maxImage is the most that the image of a function may weigh in a registry, for
// it is pulled while an event waits.
const maxImage = 15_000_000

// imageRegistry is a registry in this process.
type imageRegistry struct {
	address   string
	manifests atomic.Int64
}

func startRegistry(t *testing.T) *imageRegistry {
	t.Helper()
	r := &imageRegistry{}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.Method == http.MethodPut && strings.Contains(request.URL.Path, "/manifests/") {
			r.manifests.Add(1)
		}
		inner.ServeHTTP(w, request)
	}))
	t.Cleanup(server.Close)
	r.address = strings.TrimPrefix(server.URL, "http://")
	return r
}

// pushes is how many manifests have been pushed.
func (r *imageRegistry) pushes() int64 { return r.manifests.Load() }

// pushEmpty pushes an image with nothing in it, which stands in for the base image
// that cannot be had without a network.
func (r *imageRegistry) pushEmpty(t *testing.T, repository string) string {
	t.Helper()
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(r.address + "/" + repository + ":latest")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	return ref.String()
}

// images holds the images that were deployed to what is promised of them.
func (c *clusterTest) images(t *testing.T) {
	deployed := c.deployedImages(t)
	if got, want := slices.Sorted(maps.Keys(deployed)), []string{"learn", "monitor", "predict", "promote", "setup", "simulate"}; !slices.Equal(got, want) {
		t.Fatalf("deployed are the images %q, want %q", got, want)
	}
	for _, function := range slices.Sorted(maps.Keys(deployed)) {
		t.Run(function, func(t *testing.T) { inspect(t, function, deployed[function]) })
	}
	t.Run("reproducible", func(t *testing.T) { reproducible(t, deployed["predict"]) })
}

// deployedImages are the images of ours that the objects in the cluster refer to.
func (c *clusterTest) deployedImages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, o := range c.live(t) {
		containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		for _, container := range containers {
			image, _ := container.(map[string]any)["image"].(string)
			if rest, ok := strings.CutPrefix(image, c.registry.address+"/tripcast/"); ok {
				function, _, _ := strings.Cut(rest, "@")
				found[function] = image
			}
		}
	}
	return found
}

func inspect(t *testing.T, function, image string) {
	ref, err := name.NewDigest(image)
	if err != nil {
		t.Fatalf("%s is not named by its digest: %v", image, err)
	}
	pulled, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := pulled.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var compressed, uncompressed int64
	for _, layer := range layers {
		size, err := layer.Size()
		if err != nil {
			t.Fatal(err)
		}
		compressed += size
		uncompressed += unpack(t, layer, "ko-app/"+function)
	}
	t.Logf("%s: %.1f MB in the registry, %.1f MB unpacked", function, float64(compressed)/1e6, float64(uncompressed)/1e6)
	if compressed > maxImage {
		t.Errorf("%d bytes in the registry, want at most %d", compressed, maxImage)
	}
	config, err := pulled.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"/ko-app/" + function}; !slices.Equal(config.Config.Entrypoint, want) {
		t.Errorf("the entry point is %q, want %q", config.Config.Entrypoint, want)
	}
	materials(t, ref)
}

// unpack reads a layer, which is its size, and holds the program in it to being
// static: the base image has no library for it.
func unpack(t *testing.T, layer v1.Layer, program string) (size int64) {
	t.Helper()
	content, err := layer.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	files := tar.NewReader(content)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return size
		}
		if err != nil {
			t.Fatal(err)
		}
		size += header.Size
		if strings.TrimPrefix(header.Name, "/") != program {
			continue
		}
		binary, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		static(t, binary)
	}
}

func static(t *testing.T, binary []byte) {
	t.Helper()
	file, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		t.Fatal(err)
	}
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP || segment.Type == elf.PT_DYNAMIC {
			t.Errorf("the program is linked dynamically: it has a segment %v", segment.Type)
		}
	}
	if file.Section(".symtab") != nil || file.Section(".debug_info") != nil {
		t.Error("the program carries symbols")
	}
}

// materials holds an image to having its bill of materials beside it.
func materials(t *testing.T, image name.Digest) {
	t.Helper()
	tag := image.Context().Tag(strings.Replace(image.DigestStr(), ":", "-", 1) + ".sbom")
	sbom, err := remote.Image(tag)
	if err != nil {
		t.Fatalf("the bill of materials: %v", err)
	}
	layers, err := sbom.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("the bill of materials has %d parts: %v", len(layers), err)
	}
	if kind, err := layers[0].MediaType(); err != nil || kind != "text/spdx+json" {
		t.Errorf("the bill of materials is of type %q, %v: want SPDX", kind, err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	listed, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	if module := "pkg:golang/github.com/cloudevents/sdk-go/v2@"; !bytes.Contains(listed, []byte(module)) && !bytes.Contains(listed, []byte("pkg:golang/github.com/twmb/franz-go@")) {
		t.Errorf("the bill of materials lists neither %s nor franz-go", module)
	}
}

// reproducible builds an image again, elsewhere and with nothing of the first
// build: its digest is the same.
func reproducible(t *testing.T, image string) {
	_, want, _ := strings.Cut(image, "@")
	elsewhere := t.TempDir()
	for _, part := range []string{"events", "functions", "infra", "sql"} {
		if err := os.CopyFS(filepath.Join(elsewhere, part), os.DirFS(part)); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"go.mod", "go.sum", ".ko.yaml"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(elsewhere, file), string(content))
	}
	cmd := exec.Command("go", append(koTool[:len(koTool):len(koTool)], "build", "--push=false", "--base-import-paths", "tripcast.dev/functions/cmd/predict")...)
	cmd.Dir = elsewhere
	cmd.Env = append(os.Environ(), "GOFLAGS=-a")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if _, got, _ := strings.Cut(strings.TrimSpace(string(out)), "@"); got != want {
		t.Errorf("built again it is %s, first it was %s", got, want)
	}
}
