package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// familiesScript prints the families of cases that a version of River makes.
// It only parses them: a family of one version may not even import in another.
//
//go:embed families.py
var familiesScript string

// golden runs internal/golden/river/golden.py in the environment of each version.
func (b bench) golden(ctx context.Context, families []string) error {
	folder := filepath.Join(b.root, "functions", "online", "internal", "golden", "river")
	for _, version := range []string{demoRiver, newestRiver} {
		python, err := b.envs.python(ctx, version)
		if err != nil {
			return err
		}
		of := exec.CommandContext(ctx, python, append([]string{"-c", familiesScript, folder, version}, families...)...)
		of.Stderr = b.stderr
		list, err := of.Output()
		if err != nil {
			return fmt.Errorf("reading the cases of %s: %w", folder, err)
		}
		for _, family := range strings.Fields(string(list)) {
			cmd := exec.CommandContext(ctx, python, filepath.Join(folder, "golden.py"), family)
			cmd.Env = append(os.Environ(), singleThread...)
			cmd.Stdout, cmd.Stderr = b.stdout, b.stderr
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("golden.py %s with River %s: %w", family, version, err)
			}
		}
	}
	return nil
}
