package main

import "testing"

// TestOverlays holds the manifests that are deployed to what deploy needs of
// them.
func TestOverlays(t *testing.T) {
	for _, overlay := range []string{"try-out", "production"} {
		t.Run(overlay, func(t *testing.T) {
			s, err := render("../knative/overlays/" + overlay)
			if err != nil {
				t.Fatal(err)
			}
			for of, keys := range secretsOf(s) {
				t.Log(of, keys)
			}
			if got := s.namespaces(); len(got) != 1 || got[0] != tripcast {
				t.Errorf("it lies in the namespaces %v, want [%s]", got, tripcast)
			}
		})
	}
}
