package main

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestReadme runs the commands of the README's section on looking after models, in
// their order, and holds the first line that each prints to what is written, but
// for numbers.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Looking after models\n")
	section, _, _ = strings.Cut(section, "\n## ")
	newest := regexp.MustCompile(`(?m)^city-grid +(\d+) `).FindStringSubmatch(section)
	if newest == nil {
		t.Fatal("the section lists no city-grid")
	}
	versions, err := strconv.Atoi(newest[1])
	if err != nil || versions > trips {
		t.Fatalf("version %s of city-grid: %v, want at most %d", newest[1], err, trips)
	}
	c := emptyCity(t)
	c.learn(t, 1, 0, versions)
	c.produce(t, topicOf(t))
	t.Chdir(t.TempDir())

	lines := strings.Split(section, "\n")
	done := map[string]bool{}
	for i, line := range lines {
		command, ok := strings.CutPrefix(line, "go run ./functions/cmd/models ")
		if !ok || strings.Contains(command, "NAME") {
			continue
		}
		args := words(command)
		done[args[0]] = true
		printed := c.run(t, exitOK, args...)
		first, _, _ := strings.Cut(strings.ReplaceAll(printed, c.brokers, "localhost:9092"), "\n")
		if want := lines[i+1]; want != "..." && unnumbered(first) != unnumbered(want) {
			t.Errorf("after %q the README shows\n%s\nand it prints\n%s", line, want, first)
		}
	}
	for _, name := range []string{"list", "show", "history", "diff", "promote", "rollback", "audit", "export", "import"} {
		if !done[name] {
			t.Errorf("the section has no %s any more", name)
		}
	}
}

// words is what a shell would make of a line that has no more than double quotes.
func words(line string) []string {
	var all []string
	for i, part := range strings.Split(line, `"`) {
		if i%2 == 1 {
			all = append(all, part)
		} else {
			all = append(all, strings.Fields(part)...)
		}
	}
	return all
}

var digits = regexp.MustCompile(`\d+`)

func unnumbered(line string) string {
	return digits.ReplaceAllString(strings.Join(strings.Fields(line), " "), "#")
}
