package assets_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
)

// vendored is what others wrote, file by file as their package has it: uplot
// 1.6.32 of the npm registry (MIT), LICENSE, dist/uPlot.esm.js and
// dist/uPlot.min.css.
var vendored = map[string]string{
	"uPlot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
	"uPlot.esm.js":  "5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba",
	"uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}

// TestVendoredAsPublished shows an edit of what is not ours, and a file that
// came without a word on where it is from.
func TestVendoredAsPublished(t *testing.T) {
	const folder = "static/vendor"
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(vendored) {
		t.Errorf("%s has %d files, %d are listed here", folder, len(entries), len(vendored))
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		if got := hex.EncodeToString(sum[:]); got != vendored[e.Name()] {
			t.Errorf("%s/%s has SHA-256 %s, published is %q", folder, e.Name(), got, vendored[e.Name()])
		}
	}
}
