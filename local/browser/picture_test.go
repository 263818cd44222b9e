package browser

import (
	"os"
	"path/filepath"
	"testing"
)

// maxPicture is what a picture of the README may weigh.
const maxPicture = 300_000

// TestPicture draws the pictures of the README, of a main job that has run for a
// while.
func TestPicture(t *testing.T) {
	if !*update {
		t.Skip("the README's pictures are drawn anew with -update")
	}
	folder := t.TempDir()
	c := startChromium(t, folder)
	s := startSystem(t, "--speed", "240")
	c.step(t, "picture", map[string]any{"url": s.readOnly, "trips": 12_000, "names": map[string]string{"light": "dashboard", "dark": "dashboard-dark"}}, nil)
	for _, name := range []string{"dashboard.png", "dashboard-dark.png"} {
		picture, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes", name, len(picture))
		if len(picture) > maxPicture {
			t.Errorf("%s has %d bytes, want at most %d", name, len(picture), maxPicture)
		}
		if err := os.WriteFile(filepath.Join("../../docs", name), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
