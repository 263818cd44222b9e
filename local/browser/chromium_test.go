package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// toolsVariable names the folder that holds Playwright and axe, as `task
// test:browser` and .ci/run install them.
const toolsVariable = "TRIPCAST_BROWSER"

// skipWithoutChromium returns the paths of Chromium and of the tools.
func skipWithoutChromium(t *testing.T) (chromium, tools string) {
	t.Helper()
	skip := t.Skipf
	if os.Getenv("TRIPCAST_REQUIRE_SERVERS") != "" {
		skip = t.Fatalf
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		skip("THE PAGE IS NOT TESTED: %v (Debian: apt-get install chromium fonts-dejavu-core)", err)
	}
	if _, err := exec.LookPath("node"); err != nil {
		skip("THE PAGE IS NOT TESTED: %v (Debian: apt-get install nodejs npm)", err)
	}
	if tools = os.Getenv(toolsVariable); tools == "" {
		skip("THE PAGE IS NOT TESTED: %s does not say where Playwright and axe are; `task test:browser` installs them, and runs this", toolsVariable)
	}
	if tools, err = filepath.Abs(tools); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(tools, "node_modules", "playwright-core")); err != nil {
		skip("THE PAGE IS NOT TESTED: %s=%s holds no Playwright: %v; `task test:browser` installs it", toolsVariable, tools, err)
	}
	return chromium, tools
}

// chromium is a browser, and the steps of steps.mjs that are taken in it.
type chromium struct {
	requests *json.Encoder
	answers  chan answer
	next     int
	log      output
}

type answer struct {
	ID     int
	Result json.RawMessage
	Error  string
}

// patience is for how long a step may take: longer than it waits for what it wants
// to see, so that it can tell what that was.
const patience = 5 * time.Minute

func startChromium(t *testing.T, folder string) *chromium {
	t.Helper()
	binary, tools := skipWithoutChromium(t)
	// What is looked at here is what go test knows a result to depend on.
	if err := fs.WalkDir(os.DirFS("."), ".", func(name string, _ fs.DirEntry, _ error) error {
		_, err := os.Stat(name)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	c := &chromium{answers: make(chan answer)}
	command := exec.Command("node", "driver.mjs")
	command.Env = append(os.Environ(), toolsVariable+"="+tools, "TRIPCAST_CHROMIUM="+binary, "TRIPCAST_BROWSER_OUTPUT="+folder,
		// The profile, new and empty, is made there.
		"TMPDIR="+t.TempDir())
	command.Stderr = &c.log
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	c.requests = json.NewEncoder(stdin)
	go c.read(bufio.NewReader(stdout))
	t.Cleanup(func() {
		// At the end of its input the driver closes the browser and ends.
		_ = stdin.Close()
		kill := time.AfterFunc(20*time.Second, func() { _ = command.Process.Kill() })
		defer kill.Stop()
		for range c.answers {
		}
		if err := command.Wait(); err != nil {
			t.Errorf("driver.mjs: %v", err)
		}
		if t.Failed() {
			t.Logf("driver.mjs said:\n%s", &c.log)
		}
	})
	return c
}

func (c *chromium) read(lines *bufio.Reader) {
	defer close(c.answers)
	for decoder := json.NewDecoder(lines); ; {
		var a answer
		if err := decoder.Decode(&a); err != nil {
			return
		}
		c.answers <- a
	}
}

// try takes a step and decodes what it found into result, if that is not nil.
func (c *chromium) try(ctx context.Context, step string, arguments, result any) error {
	c.next++
	if err := c.requests.Encode(map[string]any{"id": c.next, "step": step, "arguments": arguments}); err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", step, ctx.Err())
		case a, ok := <-c.answers:
			switch {
			case !ok:
				return fmt.Errorf("%s: driver.mjs has ended\n%s", step, &c.log)
			case a.ID != c.next: // of a step that was given up
				continue
			case a.Error != "":
				return errors.New(step + ": " + a.Error)
			case result == nil:
				return nil
			}
			return json.Unmarshal(a.Result, result)
		}
	}
}

// step takes a step, which has to succeed.
func (c *chromium) step(t *testing.T, name string, arguments, result any) {
	t.Helper()
	if err := c.try(t.Context(), name, arguments, result); err != nil {
		t.Fatal(strings.TrimSpace(err.Error()))
	}
}
