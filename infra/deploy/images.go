package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

// images builds what the manifests refer to as ko://PACKAGE.
type images struct {
	runner
	registry  string
	platforms string       // comma-separated; empty for those of .ko.yaml
	progress  func(string) // told what is being built and pushed
}

// koTool is ko as infra/tools/ko pins it.
var koTool = []string{"tool", "-modfile=infra/tools/ko/go.mod", "ko"}

// needed reports whether a set has images that are to be built.
func needed(stream []byte) bool { return bytes.Contains(stream, []byte("ko://")) }

// resolve builds the images of a set, pushes them if it is to, and returns the
// set with their digests in the place of the packages' names. Where nothing is
// pushed the digests are those of the images that would be.
func (i images) resolve(ctx context.Context, s set, push bool) (set, error) {
	stream, err := s.encode()
	if err != nil || !needed(stream) {
		return s, err
	}
	args := append(koTool[:len(koTool):len(koTool)], "resolve", "--base-import-paths", fmt.Sprintf("--push=%t", push), "-f", "-")
	if i.platforms != "" {
		args = append(args, "--platform="+i.platforms)
	}
	out, err := i.run(ctx, command{
		name:     "go",
		args:     args,
		env:      []string{"KO_DOCKER_REPO=" + i.registry},
		stdin:    stream,
		progress: i.tell,
	})
	var exit *exitError
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, errors.New("building images: go is not installed: https://go.dev/doc/install")
	case errors.As(err, &exit):
		return nil, fmt.Errorf("building images: %s", koComplaint(exit.stderr))
	case err != nil:
		return nil, fmt.Errorf("building images: %w", err)
	}
	// Without a push ko names the tag as well. The same image has the same name
	// here, or diff would see a change in it.
	tagged := regexp.MustCompile("(" + regexp.QuoteMeta(i.registry) + `[^\s"']*):latest@`)
	return decode(tagged.ReplaceAll(out, []byte("$1@")))
}

// tell passes on the lines of ko's log that say what it is at. The rest is about
// the state of git, which our images do not depend on.
func (i images) tell(line string) {
	for _, verb := range []string{"Building ", "Published "} {
		if _, what, ok := strings.Cut(line, " "+verb); ok && !strings.HasPrefix(what, "SBOM ") {
			i.progress(strings.ToLower(verb) + what)
		}
	}
}

// koComplaint is ko's stderr in one line: what is wrong with which package.
func koComplaint(stderr string) string {
	_, message, found := strings.Cut("\n"+stderr, "\nError: ")
	if !found {
		lines := strings.Split(strings.TrimSpace(stderr), "\n")
		return lines[len(lines)-1]
	}
	for _, words := range []string{"error processing import paths in \"-\": ", "error resolving image references: ", "build: "} {
		message = strings.TrimPrefix(message, words)
	}
	if pkg, ok := between(message, "found strict reference but ko://", " is not a valid import path: "); ok {
		return fmt.Sprintf("%s is no command: ko:// is followed by the import path of a package main", pkg)
	}
	// The compiler's own lines: "# PACKAGE", then one for each mistake.
	if _, log, ok := strings.Cut(message, "go build: exit status 1: "); ok {
		return compilerComplaint(log)
	}
	if strings.Contains(message, "connection refused") || strings.Contains(message, "no such host") {
		message += " (is the registry, or that of the base image, up?)"
	}
	return strings.Join(strings.Fields(message), " ")
}

// compilerComplaint is the first mistake that go build found, and how many more.
func compilerComplaint(log string) string {
	var pkg string
	var mistakes []string
	for line := range strings.Lines(log) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "# "); ok {
			if pkg == "" {
				pkg = name + " does not compile: "
			}
		} else if line != "" {
			mistakes = append(mistakes, line)
		}
	}
	switch len(mistakes) {
	case 0:
		return pkg + "go build failed"
	case 1:
		return pkg + mistakes[0]
	}
	return fmt.Sprintf("%s%s (and %d more)", pkg, mistakes[0], len(mistakes)-1)
}

// between is what stands in s between two strings.
func between(s, before, after string) (string, bool) {
	_, rest, ok := strings.Cut(s, before)
	if !ok {
		return "", false
	}
	middle, _, ok := strings.Cut(rest, after)
	return middle, ok
}
