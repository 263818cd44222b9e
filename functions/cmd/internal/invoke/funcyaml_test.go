package invoke_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"tripcast.dev/infra"
)

// root is that of the repository.
var root = filepath.Join("..", "..", "..", "..")

func funcYAML(function string) string { return filepath.Join(root, "functions", function, "func.yaml") }

// functionSpec is what our func.yaml may have, of what func 0.49.2 reads
// (pkg/functions.Function). func only warns of a field that it does not know.
type functionSpec struct {
	SpecVersion string    `yaml:"specVersion"`
	Name        string    `yaml:"name"`
	Runtime     string    `yaml:"runtime"`
	Created     time.Time `yaml:"created"` // zero is a function that func does not find
	Invoke      string    `yaml:"invoke"`
	Run         struct {
		Envs []struct{ Name, Value string } `yaml:"envs"`
	} `yaml:"run"`
	Deploy struct {
		Namespace       string `yaml:"namespace"`
		HealthEndpoints struct {
			Liveness  string `yaml:"liveness"`
			Readiness string `yaml:"readiness"`
		} `yaml:"healthEndpoints"`
	} `yaml:"deploy"`
}

// service is what a Knative Service says of the same things.
type service struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Spec     struct {
		Template struct {
			Spec struct {
				Containers []struct {
					Env []struct {
						Name      string
						ValueFrom struct {
							SecretKeyRef struct{ Name, Key string } `yaml:"secretKeyRef"`
						} `yaml:"valueFrom"`
					}
					ReadinessProbe probe `yaml:"readinessProbe"`
					LivenessProbe  probe `yaml:"livenessProbe"`
				}
			}
		}
	}
}

type probe struct {
	HTTPGet struct{ Path string } `yaml:"httpGet"`
}

// services are those of infra/knative, by name.
func services(t *testing.T) map[string]service {
	t.Helper()
	out := map[string]service{}
	err := fs.WalkDir(infra.Knative(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(name) != ".yaml" {
			return err
		}
		text, err := fs.ReadFile(infra.Knative(), name)
		if err != nil {
			return err
		}
		for documents := yaml.NewDecoder(bytes.NewReader(text)); ; {
			var s service
			if err := documents.Decode(&s); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if s.Kind == "Service" {
				out[s.Metadata.Name] = s
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestFuncYAML holds func.yaml to the Service of the same name.
func TestFuncYAML(t *testing.T) {
	deployed := services(t)
	for _, function := range []string{"predict", "learn"} {
		t.Run(function, func(t *testing.T) {
			text, err := os.ReadFile(funcYAML(function))
			if err != nil {
				t.Fatal(err)
			}
			decoder := yaml.NewDecoder(bytes.NewReader(text))
			decoder.KnownFields(true)
			var f functionSpec
			if err := decoder.Decode(&f); err != nil {
				t.Fatal(err)
			}
			s, ok := deployed[f.Name]
			if !ok || f.Name != function {
				t.Fatalf("%s in the folder %s is no Service of infra/knative", f.Name, function)
			}
			if f.SpecVersion != "0.36.0" || f.Runtime != "go" || f.Invoke != "cloudevent" || f.Created.IsZero() {
				t.Errorf("func 0.49.2 does not invoke it with events: %+v", f)
			}
			if f.Deploy.Namespace != s.Metadata.Namespace {
				t.Errorf("namespace %s, not %s", f.Deploy.Namespace, s.Metadata.Namespace)
			}
			container := s.Spec.Template.Spec.Containers[0]
			if got, want := f.Deploy.HealthEndpoints.Liveness, container.LivenessProbe.HTTPGet.Path; got != want {
				t.Errorf("liveness at %s, not %s", got, want)
			}
			if got, want := f.Deploy.HealthEndpoints.Readiness, container.ReadinessProbe.HTTPGet.Path; got != want {
				t.Errorf("readiness at %s, not %s", got, want)
			}
			var want []struct{ Name, Value string }
			for _, e := range container.Env {
				if secret := e.ValueFrom.SecretKeyRef; secret.Name != "" {
					want = append(want, struct{ Name, Value string }{e.Name, "{{ secret:" + secret.Name + ":" + secret.Key + " }}"})
				}
			}
			if got := f.Run.Envs; !reflect.DeepEqual(got, want) {
				t.Errorf("from Secrets come %v, not %v", got, want)
			}
		})
	}
}

// TestFuncReadsFuncYAML has func itself read them, without a warning.
func TestFuncReadsFuncYAML(t *testing.T) {
	for _, function := range []string{"predict", "learn"} {
		stdout, stderr, err := run(t, folder(t, function), "config", "envs")
		want := `Env "REDIS_URL" with value set from key "url" from Secret "redis"`
		if err != nil || stderr != "" || !strings.Contains(stdout, want) {
			t.Errorf("%s: %v: %s%s", function, err, stdout, stderr)
		}
	}
}
