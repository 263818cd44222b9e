// Package compose holds local/compose.yaml to what it promises: that it loads,
// that it is as careful as the deployment is, that it says of our commands only
// what they understand, and, where a Docker engine can be started, that it works.
package compose

import (
	"maps"
	"net"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const root = "../.."

// variants are the ways to bring it up, as the files that are given to -f.
var variants = map[string][]string{
	"compose.yaml": {"../compose.yaml"},
	"embedded":     {"../compose.yaml", "../compose.embedded.yaml"},
}

// load reads the files as docker compose does, with nothing set in the
// environment but what env says.
func load(t *testing.T, files []string, env ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions(files, cli.WithEnv(env))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("%v do not load: %v", files, err)
	}
	return project
}

// each runs a test for every service of every variant.
func each(t *testing.T, test func(*testing.T, *types.Project, types.ServiceConfig)) {
	for name, files := range variants {
		project := load(t, files)
		if len(project.Services) < 8 {
			t.Fatalf("%s: only %d services: the test looks in the wrong place", name, len(project.Services))
		}
		for _, service := range project.Services {
			t.Run(name+"/"+service.Name, func(t *testing.T) { test(t, project, service) })
		}
	}
}

// ours says whether a container runs what is built from this repository.
func ours(s types.ServiceConfig) bool { return strings.HasPrefix(s.Image, "tripcast/") }

func TestImagesArePinned(t *testing.T) {
	each(t, func(t *testing.T, _ *types.Project, s types.ServiceConfig) {
		if why := unpinned(s.Image); why != "" {
			t.Errorf("image %q %s", s.Image, why)
		}
	})
}

// unpinned says why what is pulled tomorrow may be something else, or nothing.
func unpinned(image string) string {
	_, tag, ok := strings.Cut(path.Base(image), ":")
	switch {
	case !ok:
		return "has no tag"
	case tag == "latest":
		return "is whatever is latest"
	case !strings.HasPrefix(image, "tripcast/") && !regexp.MustCompile(`^v?\d+\.\d+\.\d+\b`).MatchString(tag):
		return "is pinned to less than a patch release"
	}
	return ""
}

// TestStartOrder: a service starts when those it needs do serve, and so each of
// them either can be asked or ends.
func TestStartOrder(t *testing.T) {
	each(t, func(t *testing.T, p *types.Project, s types.ServiceConfig) {
		asked := s.HealthCheck != nil && !s.HealthCheck.Disable && len(s.HealthCheck.Test) > 0
		if oneShot := s.Restart == types.RestartPolicyNo; asked == oneShot {
			t.Errorf("has a health check: %v, is a one-shot: %v; it wants one of both", asked, oneShot)
		}
		for name, dependency := range s.DependsOn {
			want := types.ServiceConditionHealthy
			if p.Services[name].Restart == types.RestartPolicyNo {
				want = types.ServiceConditionCompletedSuccessfully
			}
			if dependency.Condition != want {
				t.Errorf("waits until %s is %s: it wants %s", name, dependency.Condition, want)
			}
		}
	})
}

func TestContainersAreConfined(t *testing.T) {
	each(t, func(t *testing.T, _ *types.Project, s types.ServiceConfig) {
		if s.Privileged || len(s.CapAdd) > 0 || s.NetworkMode != "" || s.Pid != "" || s.Ipc != "" || len(s.Devices) > 0 {
			t.Error("has more of the host than its ports and volumes")
		}
		if !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("cap_drop %v, security_opt %v", s.CapDrop, s.SecurityOpt)
		}
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeVolume || v.Source == "" {
				t.Errorf("%s is a %s of %q: it wants a named volume, which down -v removes", v.Target, v.Type, v.Source)
			}
		}
		if s.StopGracePeriod == nil {
			t.Error("has no stop_grace_period: 10 s is what it would get")
		}
		user, _, _ := strings.Cut(s.User, ":")
		if ours(s) && (!s.ReadOnly || user == "" || user == "0" || user == "root") {
			t.Errorf("read_only %v, user %q", s.ReadOnly, s.User)
		}
	})
}

func TestPortsAreThoseOfTheLaptop(t *testing.T) {
	want := []string{"6379", "6875", "8081", "8082", "8083", "8084", "8501", "9092"}
	for name, files := range variants {
		var got []string
		for _, s := range load(t, files).Services {
			for _, p := range s.Ports {
				got = append(got, p.Published)
				if p.HostIP != "127.0.0.1" {
					t.Errorf("%s: %s publishes %s on %q: whoever is on the network could reach it", name, s.Name, p.Published, p.HostIP)
				}
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s publishes %v, want %v", name, got, want)
		}
	}
}

func TestVolumesAreUsed(t *testing.T) {
	for name, files := range variants {
		project := load(t, files)
		var used []string
		for _, s := range project.Services {
			for _, v := range s.Volumes {
				used = append(used, v.Source)
			}
		}
		if slices.Sort(used); !slices.Equal(used, slices.Sorted(maps.Keys(project.Volumes))) {
			t.Errorf("%s declares %v and uses %v", name, slices.Sorted(maps.Keys(project.Volumes)), used)
		}
	}
}

// TestEmbeddedIsTheSame: what stands in for Redpanda and Materialize is told
// apart from nothing by what is built on the repository.
func TestEmbeddedIsTheSame(t *testing.T) {
	plain, embedded := load(t, variants["compose.yaml"]), load(t, variants["embedded"])
	if !slices.Equal(plain.ServiceNames(), embedded.ServiceNames()) {
		t.Fatalf("%v are not %v", embedded.ServiceNames(), plain.ServiceNames())
	}
	for name, s := range plain.Services {
		if !ours(s) {
			continue
		}
		other := embedded.Services[name]
		if other.Image == s.Image {
			t.Errorf("%s: both build %s", name, s.Image)
		}
		other.Image, other.Build = s.Image, s.Build
		if !reflect.DeepEqual(s, other) {
			t.Errorf("%s differs in more than its image", name)
		}
	}
}

func TestVariables(t *testing.T) {
	for _, c := range []struct {
		env  []string
		want []string
	}{
		{nil, []string{"--speed=10", "--limit=0", "--seed=1", "--start=2016-01-04T08:00"}},
		{[]string{"TRIPCAST_SPEED=0", "TRIPCAST_LIMIT=2000", "TRIPCAST_SEED=7", "TRIPCAST_START=2016-01-05T08:00"}, []string{"--speed=0", "--limit=2000", "--seed=7", "--start=2016-01-05T08:00"}},
	} {
		if got := load(t, variants["compose.yaml"], c.env...).Services["simulate"].Command; !slices.Equal(got, c.want) {
			t.Errorf("with %v it is simulate %v, want %v", c.env, got, c.want)
		}
	}
}

// TestToken: who may act is said by whoever starts it, and known to the dashboard
// alone; where nothing is said, nobody may.
func TestToken(t *testing.T) {
	const token = "correct-horse-battery"
	for name, files := range variants {
		for _, s := range load(t, files, "MONITOR_TOKEN="+token).Services {
			want := ""
			if s.Name == "monitor" {
				want = token
			}
			if got := environment(s, "MONITOR_TOKEN"); got != want {
				t.Errorf("%s: %s is given the token %q, want %q", name, s.Name, got, want)
			}
		}
		if got := environment(load(t, files).Services["monitor"], "MONITOR_TOKEN"); got != "" {
			t.Errorf("%s: there is a token that nobody has given: %q", name, got)
		}
	}
}

// TestDockerfile: every image that is built has its stage, on a pinned base.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages := []string{"scratch"}
	for _, from := range regexp.MustCompile(`(?m)^FROM (\S+) AS (\S+)$`).FindAllStringSubmatch(string(text), -1) {
		if why := unpinned(from[1]); !slices.Contains(stages, from[1]) && why != "" {
			t.Errorf("stage %s stands on %s, which %s", from[2], from[1], why)
		}
		stages = append(stages, from[2])
	}
	for _, s := range load(t, variants["compose.yaml"]).Services {
		if s.Build == nil {
			continue
		}
		if file := filepath.Join(s.Build.Context, s.Build.Dockerfile); !sameFile(t, file, "../Dockerfile") || !sameFile(t, s.Build.Context, root) {
			t.Errorf("%s is built by %s in %s", s.Name, file, s.Build.Context)
		}
		if !slices.Contains(stages, s.Build.Target) {
			t.Errorf("%s is built to the stage %q, which the Dockerfile has not", s.Name, s.Build.Target)
		}
	}
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	one, err := os.Stat(a)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.Stat(b)
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(one, other)
}

// hostOf is the host of HOST:PORT.
func hostOf(t *testing.T, address string) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}
