package compose

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"

	"tripcast.dev/infra"
	"tripcast.dev/local/broker"
	"tripcast.dev/local/eventing"
)

// TestPredictIsBound: predict is told what Knative's SinkBinding would tell it,
// at the emulator's address.
func TestPredictIsBound(t *testing.T) {
	manifests, err := eventing.Load(infra.Knative())
	if err != nil {
		t.Fatal(err)
	}
	kafka, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	e, err := eventing.Start(t.Context(), eventing.Config{
		Manifests: manifests, Brokers: []string{kafka.Addr()}, IngressAddr: "127.0.0.1:0",
		Services: func(string) (string, bool) { return "", false }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(t.Context())
	want, err := e.Env("predict")
	if err != nil {
		t.Fatal(err)
	}
	sink, err := url.Parse(want["K_SINK"])
	if err != nil {
		t.Fatal(err)
	}
	sink.Host = "emulator:8083"
	want["K_SINK"] = sink.String()
	services := load(t, variants["compose.yaml"]).Services
	for name, value := range want {
		if got := environment(services["predict"], name); got != value {
			t.Errorf("predict has %s=%s, the SinkBinding would set %s", name, got, value)
		}
	}
	if got := environment(services["learn"], "K_SINK"); got != "" {
		t.Errorf("learn has K_SINK=%s: no SinkBinding sets it", got)
	}
}

// TestAddresses: whoever is told an address finds there what it looks for.
func TestAddresses(t *testing.T) {
	for name, files := range variants {
		services := load(t, files).Services
		emulator := flagsOf(services["emulator"])
		for _, function := range []string{"predict", "learn", "promote"} {
			if want := "http://" + function + ":" + environment(services[function], "PORT"); emulator["--"+function] != want {
				t.Errorf("%s: the emulator is told that %s is at %s, it is at %s", name, function, emulator["--"+function], want)
			}
		}
		if _, port := hostOf(t, emulator["--ingress-listen"]); emulator["--sinks-url"] != "http://emulator:"+port {
			t.Errorf("%s: the sinks are at port %s, and said to be at %s", name, port, emulator["--sinks-url"])
		}
		for _, s := range services {
			for variable, want := range map[string]string{
				"KAFKA_BROKERS": "redpanda:9092", "REDIS_URL": "redis://redis:6379",
				"MATERIALIZE_URL": "postgres://materialize@materialize:6875/materialize?sslmode=disable",
			} {
				everywhere := s.Name == "setup" || s.Name == "monitor"
				if got := environment(s, variable); (got != "" || everywhere) && got != want {
					t.Errorf("%s: %s has %s=%s, want %s", name, s.Name, variable, got, want)
				}
			}
			for _, p := range s.Ports {
				if !slices.Contains(listens(t, s), p.Target) {
					t.Errorf("%s: %s publishes its port %d and listens on %v", name, s.Name, p.Target, listens(t, s))
				}
			}
		}
	}
}

// listens are the ports a service says to listen on, or that its image does.
func listens(t *testing.T, s types.ServiceConfig) []uint32 {
	ports := map[string][]uint32{"redis": {6379}, "materialize": {6875}}[s.Name]
	if text := environment(s, "PORT"); text != "" {
		ports = append(ports, number(t, text))
	}
	for name, value := range flagsOf(s) {
		if !strings.HasSuffix(name, "listen") && name != "--kafka-addr" {
			continue
		}
		for address := range strings.SplitSeq(value, ",") {
			_, port := hostOf(t, address[strings.Index(address, "//")+1:])
			ports = append(ports, number(t, port))
		}
	}
	return ports
}

// TestPartitions: as many as the KafkaSources consume and the KafkaSink makes.
func TestPartitions(t *testing.T) {
	manifests, err := eventing.Load(infra.Knative())
	if err != nil {
		t.Fatal(err)
	}
	setup := load(t, variants["compose.yaml"]).Services["setup"]
	partitions := number(t, flagsOf(setup)["--partitions"])
	for _, source := range manifests.Sources {
		want := partitions
		if source.Name == "champions" {
			want = 1
		}
		if source.Spec.Consumers == nil || uint32(*source.Spec.Consumers) != want {
			t.Errorf("KafkaSource %s has %v consumers, its topic %d partitions", source.Name, source.Spec.Consumers, want)
		}
	}
	for _, sink := range manifests.Sinks {
		if n := sink.Spec.NumPartitions; sink.Name == "predictions" && (n == nil || uint32(*n) != partitions) {
			t.Errorf("KafkaSink %s makes %v partitions, setup %d", sink.Name, n, partitions)
		}
	}
}

// TestCommandsUnderstand: each flag and each variable that a service of ours is
// given is one that its command reads, which is one that its source spells.
func TestCommandsUnderstand(t *testing.T) {
	for name, files := range variants {
		for _, s := range load(t, files).Services {
			if !ours(s) || s.Name == "redis" {
				continue
			}
			_, image, _ := strings.Cut(s.Image, "/")
			command, _, _ := strings.Cut(image, ":")
			folder := "./functions/cmd/" + command
			if command == "local" {
				folder = "./local"
			}
			spelt := literals(t, folder)
			for variable := range s.Environment {
				if !spelt[variable] {
					t.Errorf("%s: %s is given %s, which %s does not read", name, s.Name, variable, command)
				}
			}
			for _, argument := range s.Command {
				word, _, _ := strings.Cut(strings.TrimLeft(argument, "-"), "=")
				if strings.HasPrefix(argument, "--") && !spelt[word] {
					t.Errorf("%s: %s is given --%s, which %s does not know", name, s.Name, word, command)
				}
			}
			if command == "local" && !spelt[s.Command[0]] {
				t.Errorf("%s: %s is local %s, which there is not", name, s.Name, s.Command[0])
			}
		}
	}
}

// literals are the strings that the sources of a command spell, those of our
// packages that it imports included.
func literals(t *testing.T, command string) map[string]bool {
	t.Helper()
	spelt := map[string]bool{}
	for _, file := range sources(t, command) {
		if filepath.Ext(file) != ".go" {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if text, err := strconv.Unquote(l.Value); err == nil {
					spelt[text] = true
				}
			}
			return true
		})
	}
	return spelt
}

// sources are the files of this repository that commands are compiled from.
func sources(t *testing.T, commands ...string) []string {
	t.Helper()
	list := exec.Command("go", append([]string{"list", "-deps", "-json=Dir,Standard,Module,GoFiles,EmbedFiles"}, commands...)...)
	list.Dir, list.Stderr = root, os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list %v: %v", commands, err)
	}
	top, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg struct {
			Dir                 string
			Module              *struct{ Main bool }
			GoFiles, EmbedFiles []string
		}
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			return files
		} else if err != nil {
			t.Fatal(err)
		}
		if pkg.Module == nil || !pkg.Module.Main {
			continue
		}
		for _, name := range slices.Concat(pkg.GoFiles, pkg.EmbedFiles) {
			file, err := filepath.Rel(top, filepath.Join(pkg.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, filepath.ToSlash(file))
		}
	}
}

// TestDockerignore: the build gets what it compiles.
func TestDockerignore(t *testing.T) {
	text, err := os.ReadFile(root + "/.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	var kept, dropped []*regexp.Regexp
	for line := range strings.Lines(string(text)) {
		pattern, keeps := strings.CutPrefix(strings.TrimSpace(line), "!")
		if pattern == "" || pattern == "*" || strings.HasPrefix(pattern, "#") {
			continue
		}
		compiled := ignorePattern(pattern)
		if keeps {
			kept = append(kept, compiled)
		} else {
			dropped = append(dropped, compiled)
		}
	}
	matches := func(patterns []*regexp.Regexp, file string) bool {
		return slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(file) })
	}
	files := append(sources(t, "./functions/cmd/...", "./local"), "go.mod", "go.sum")
	if len(files) < 100 {
		t.Fatalf("only %d files: the test looks in the wrong place", len(files))
	}
	for _, file := range files {
		if !matches(kept, file) || matches(dropped, file) {
			t.Errorf("%s is compiled, and .dockerignore leaves it out", file)
		}
	}
}

// ignorePattern matches a path, and all that is below it.
func ignorePattern(pattern string) *regexp.Regexp {
	var expression strings.Builder
	for i, part := range strings.Split(pattern, "/") {
		if i > 0 && !strings.HasSuffix(expression.String(), ")?") {
			expression.WriteString("/")
		}
		if part == "**" {
			expression.WriteString("(.*/)?")
			continue
		}
		expression.WriteString(strings.ReplaceAll(regexp.QuoteMeta(part), `\*`, "[^/]*"))
	}
	return regexp.MustCompile("^" + expression.String() + "(/|$)")
}

// environment is what a service is given by this name.
func environment(s types.ServiceConfig, name string) string {
	if value := s.Environment[name]; value != nil {
		return *value
	}
	return ""
}

// flagsOf are the flags of a service's command, --name=value or --name value.
func flagsOf(s types.ServiceConfig) map[string]string {
	flags := map[string]string{}
	for i, argument := range s.Command {
		name, value, ok := strings.Cut(argument, "=")
		if !strings.HasPrefix(name, "--") {
			continue
		}
		if !ok && i+1 < len(s.Command) {
			value = s.Command[i+1]
		}
		flags[name] = value
	}
	return flags
}

func number(t *testing.T, text string) uint32 {
	t.Helper()
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}
