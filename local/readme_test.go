package main

import (
	"errors"
	"io/fs"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tripcast.dev/events"
	"tripcast.dev/functions/kafka"
)

// TestReadmeOwnStream is a newcomer who brings a stream of their own: it runs the
// commands of the README's section, as they stand there, and holds what comes of
// them to what it says.
func TestReadmeOwnStream(t *testing.T) {
	n := &newcomer{done: map[string]bool{}}
	for _, block := range fenced(t, "Your own stream") {
		if lines := strings.Split(strings.TrimSpace(block), "\n"); isCommand(lines[0]) {
			for _, line := range lines {
				n.enter(t, line)
			}
		} else {
			n.compare(t, lines)
		}
	}
	for _, step := range []string{"replay alone", "local", "replay", "psql", "models", "setup", "apply"} {
		if !n.done[step] {
			t.Errorf("the section has no command that does this any more: %s", step)
		}
	}
}

// fenced are the blocks of a section of the README.
func fenced(t *testing.T, title string) []string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## "+title+"\n")
	if !ok {
		t.Fatalf("README.md has no section %q", title)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	parts := strings.Split(section, "\n```")
	var blocks []string
	for i := 1; i < len(parts); i += 2 {
		blocks = append(blocks, parts[i])
	}
	return blocks
}

func isCommand(line string) bool {
	return strings.HasPrefix(line, "go run ") || strings.HasPrefix(line, "psql ")
}

// newcomer is at a terminal, in the root of the repository.
type newcomer struct {
	kafka, redis, sql string // of the system that was started; empty before
	printed           string // by the last replay
	told              []string
	done              map[string]bool
}

// elsewhere is the one place where what is run differs from what is written: a
// system takes free ports, and who asks it is told of those, not of the defaults.
// What would change a Materialize prints what it would do instead.
func (n *newcomer) elsewhere(words []string) (changed, env []string) {
	env = []string{"KAFKA_BROKERS=" + n.kafka, "REDIS_URL=" + n.redis, "HOME=" + os.Getenv("HOME")}
	_, port, _ := net.SplitHostPort(n.sql)
	for i, word := range words {
		switch {
		case word == "localhost:9092":
			word = n.kafka
		case word == "6875" && words[i-1] == "-p":
			word = port
		}
		changed = append(changed, word)
	}
	switch {
	case isSystem(words):
		changed = append(changed, "--free-ports")
	case words[0] == "go" && words[2] == "./sql/cmd/apply":
		changed = append(changed, "--print")
	}
	return changed, env
}

// isSystem tells the whole system from one of local's commands.
func isSystem(words []string) bool {
	return words[0] == "go" && words[2] == "./local" && commandNamed(words[3]) == nil
}

// split is what a shell would make of a line that has no more than single quotes.
func split(line string) []string {
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

// enter runs a line.
func (n *newcomer) enter(t *testing.T, line string) {
	t.Helper()
	words, env := n.elsewhere(split(line))
	binary, arguments := words[0], words[1:]
	if binary == "go" {
		binary, arguments = program(t, words[2]), words[3:]
		env = append(env, asCommand+"=1")
	} else if path, err := exec.LookPath(binary); err != nil {
		unchecked(t, err)
	} else {
		binary = path
	}
	p := spawnIn(t, "..", line, binary, env, arguments...)
	if isSystem(words) {
		n.kafka, n.redis, n.sql = p.says(t, "Kafka "), p.says(t, "Redis "), p.says(t, "SQL ")
		p.says(t, "learn ") // the last of it
		n.done["local"] = true
		return
	}
	// Half a minute of work each, and more where there is no time for it.
	if err := p.waitWithin(t, 8*time.Minute); err != nil {
		t.Fatalf("%s: %v\n%s%s", line, err, &p.out, &p.log)
	}
	n.judge(t, words, p.out.String())
}

// program is the binary that go run would run.
func program(t *testing.T, pkg string) string {
	t.Helper()
	if pkg == "./local" {
		binary, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		return binary
	}
	if _, err := os.Stat(filepath.Join("..", pkg)); errors.Is(err, fs.ErrNotExist) {
		unchecked(t, err)
	}
	binary := filepath.Join(t.TempDir(), filepath.Base(pkg))
	build := exec.Command("go", "build", "-o", binary, pkg)
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", pkg, err, out)
	}
	return binary
}

// unchecked ends the test at a command that is not on this machine.
func unchecked(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("TRIPCAST_REQUIRE_SERVERS") != "" {
		t.Fatal(err)
	}
	t.Skipf("NOT CHECKED any further: %v", err)
}

// compare holds what the last command has printed to what the README shows.
func (n *newcomer) compare(t *testing.T, shown []string) {
	t.Helper()
	printed := strings.Split(strings.TrimSpace(n.printed), "\n")
	if len(printed) != len(shown) {
		t.Fatalf("the README shows\n%s\nbut it prints\n%s", strings.Join(shown, "\n"), n.printed)
	}
	for i, line := range shown {
		if !alike(line, printed[i]) {
			t.Errorf("the README shows %q, but it prints %q", line, printed[i])
		}
	}
	n.told = shown
}

// alike compares words, and of an error in seconds the first digits: the sine of
// another machine may have another last one.
func alike(shown, printed string) bool {
	a, b := strings.Fields(shown), strings.Fields(printed)
	return len(a) == len(b) && slices.EqualFunc(a, b, func(a, b string) bool {
		x, errX := strconv.ParseFloat(a, 64)
		y, errY := strconv.ParseFloat(b, 64)
		if errX == nil && errY == nil && strings.Contains(a, ".") {
			return math.Abs(x-y) <= 0.01*x
		}
		return a == b
	})
}

// judge looks at what a command has printed, and at what is there after it.
func (n *newcomer) judge(t *testing.T, words []string, printed string) {
	t.Helper()
	step := words[0]
	if step == "go" {
		if step = filepath.Base(words[2]); step == "local" {
			step = words[3]
		}
	}
	switch step {
	case "replay":
		n.printed = printed
		if !slices.Contains(words, "--kafka") {
			step = "replay alone"
			break
		}
		n.live(t, printed)
	case "psql":
		n.better(t, printed)
	case "models":
		n.learned(t, printed)
	case "apply":
		for _, made := range []string{"CREATE SOURCE IF NOT EXISTS emptied_raw", "CREATE SINK IF NOT EXISTS labels_sink"} {
			if !strings.Contains(printed, made) {
				t.Errorf("apply does not say %s:\n%s", made, printed)
			}
		}
	}
	n.done[step] = true
}

// The stream of the README's example.
const (
	spellsBegun, spellsEnded = 925, 912
	modelsOfSpells           = 3
)

// live is a replay into the running system: the same comes out of it, each once.
func (n *newcomer) live(t *testing.T, printed string) {
	t.Helper()
	lines := strings.Split(printed, "\n")
	for _, shown := range n.told {
		if !strings.HasPrefix(shown, "MAE") && !slices.Contains(lines, shown) {
			t.Errorf("%q is not in\n%s", shown, printed)
		}
	}
	records, distinct := map[string]int{}, map[string]map[string]bool{}
	err := readTopics(t.Context(), kafka.Connection{Brokers: []string{n.kafka}}, func(r *kgo.Record) {
		if distinct[r.Topic] == nil {
			distinct[r.Topic] = map[string]bool{}
		}
		records[r.Topic]++
		distinct[r.Topic][string(r.Key)] = true
	}, events.TopicFeatures, events.TopicPredictions, events.TopicLabels, events.TopicDeadLetters)
	if err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]int{
		events.TopicFeatures: spellsBegun, events.TopicPredictions: spellsBegun, events.TopicLabels: spellsEnded, events.TopicDeadLetters: 0,
	} {
		if records[topic] != want || len(distinct[topic]) != want {
			t.Errorf("%s has %d records of %d spells, not one of each of %d", topic, records[topic], len(distinct[topic]), want)
		}
	}
}

// better reads the table of psql, the best model first.
func (n *newcomer) better(t *testing.T, printed string) {
	t.Helper()
	var names []string
	maes := map[string]float64{}
	for line := range strings.Lines(printed) {
		cells := strings.Split(line, "|")
		if len(cells) != 3 {
			continue
		}
		mae, err := strconv.ParseFloat(strings.TrimSpace(cells[2]), 64)
		if err != nil {
			continue // the names of the columns
		}
		name := strings.TrimSpace(cells[0])
		names, maes[name] = append(names, name), mae
		if trips := strings.TrimSpace(cells[1]); trips != strconv.Itoa(spellsEnded) {
			t.Errorf("%s has errors of %s spells, not %d", name, trips, spellsEnded)
		}
	}
	if len(names) != modelsOfSpells {
		t.Fatalf("psql prints\n%s", printed)
	}
	if best := names[0]; !(maes[best] < 0.85*maes["mean"]) {
		t.Errorf("%s is not much better than the mean: %v", best, maes)
	}
}

// learned reads the list of models.
func (n *newcomer) learned(t *testing.T, printed string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(printed), "\n")
	labels := slices.Index(strings.Fields(lines[0]), "LABELS")
	if labels < 0 || len(lines) != 1+modelsOfSpells {
		t.Fatalf("models list prints\n%s", printed)
	}
	for _, line := range lines[1:] {
		if cells := strings.Fields(line); cells[labels] != strconv.Itoa(spellsEnded) {
			t.Errorf("%s has learned %s labels, not %d", cells[0], cells[labels], spellsEnded)
		}
	}
}
