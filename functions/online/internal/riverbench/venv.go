package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
)

// Versions of River: the one that the demo pins, and the newest.
const (
	demoRiver   = "0.13.0"
	newestRiver = "0.26.1"
)

// environments are the throw-away virtual environments in a folder, one for each
// version of River.
type environments struct {
	folder string
	log    io.Writer
}

// python returns the interpreter that has this version, which is installed if
// it is not.
func (e environments) python(ctx context.Context, version string) (string, error) {
	install, ok := map[string]func(context.Context, func(...string) error) error{
		demoRiver: buildDemoRiver, newestRiver: installNewestRiver,
	}[version]
	if !ok {
		return "", fmt.Errorf("there is no recipe for River %s, only for %s and %s", version, demoRiver, newestRiver)
	}
	folder, err := filepath.Abs(filepath.Join(e.folder, "river-"+version))
	if err != nil {
		return "", err
	}
	python := filepath.Join(folder, "bin", "python")
	if versionAt(ctx, python) == version {
		return python, nil
	}
	fmt.Fprintf(e.log, "installing River %s in %s\n", version, folder)
	base, err := findPython(ctx)
	if err != nil {
		return "", err
	}
	if err := e.run(ctx, base, "-m", "venv", "--clear", folder); err != nil {
		return "", fmt.Errorf("making %s: %w", folder, err)
	}
	pip := func(args ...string) error {
		return e.run(ctx, python, append([]string{"-m", "pip", "--quiet", "--disable-pip-version-check", "install"}, args...)...)
	}
	if err := install(ctx, pip); err != nil {
		return "", fmt.Errorf("installing River %s: %w", version, err)
	}
	if got := versionAt(ctx, python); got != version {
		return "", fmt.Errorf("installing River %s in %s: %s is there now", version, folder, or(got, "none"))
	}
	return python, nil
}

func installNewestRiver(_ context.Context, pip func(...string) error) error {
	return pip("river==" + newestRiver)
}

// buildDemoRiver builds River 0.13.0, of which there is only the source for
// Python 3.11, with what was current when it came out: Cython 3 and NumPy 1.24
// refuse it.
func buildDemoRiver(_ context.Context, pip func(...string) error) error {
	for _, tool := range []struct{ command, what string }{
		{"cargo", "Rust's cargo (https://rustup.rs)"}, {"cc", "a C compiler (gcc, or clang)"},
	} {
		if _, err := exec.LookPath(tool.command); err != nil {
			return fmt.Errorf("there is only the source of it for Python 3.11, and building it needs %s: %w", tool.what, err)
		}
	}
	if err := pip("numpy<1.24", "pandas<2", "scipy<1.11", "cython<3", "setuptools==65.5.0", "setuptools-rust<1.10", "wheel"); err != nil {
		return err
	}
	return pip("--no-build-isolation", "--no-deps", "river=="+demoRiver)
}

// findPython finds a Python 3.11. From 3.12 on, sum() is compensated, and River
// computes other last bits.
func findPython(ctx context.Context) (string, error) {
	for _, name := range []string{"python3.11", "python3", "python"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		out, err := exec.CommandContext(ctx, path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").Output()
		if err == nil && strings.TrimSpace(string(out)) == "3.11" {
			return path, nil
		}
	}
	return "", errors.New("there is no python3.11 in the PATH: River is run with Python 3.11 here")
}

// versionAt is the version of River that an interpreter has, or nothing.
func versionAt(ctx context.Context, python string) string {
	out, err := exec.CommandContext(ctx, python, "-c", "import river; print(river.__version__)").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func (e environments) run(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = e.log, e.log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(append([]string{filepath.Base(name)}, args...), " "), err)
	}
	return nil
}

func or(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}

// singleThread keeps NumPy's libraries on one core.
var singleThread = []string{"OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", "MKL_NUM_THREADS=1", "RAYON_NUM_THREADS=1", "PYTHONHASHSEED=0"}
