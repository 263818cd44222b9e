package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"tripcast.dev/functions/registry"
	"tripcast.dev/infra"
)

// The champion is the one that is served after it, which the file need not name.
func TestApplySaysWhoIsChampion(t *testing.T) {
	c := newCity(t)
	const shipped = "../../../infra/models.yaml"
	if got := c.run(t, exitOK, "apply", shipped); got != "6 models, champion city-grid-neighbors\n" {
		t.Errorf("%q", got)
	}
	c.run(t, exitOK, "promote", "decision-tree")
	if got := c.run(t, exitOK, "apply", shipped); got != "6 models, champion decision-tree (the file names city-grid-neighbors)\n" {
		t.Errorf("%q", got)
	}
	var applied appliedCatalogue
	if err := json.Unmarshal([]byte(c.run(t, exitOK, "apply", shipped, "--json")), &applied); err != nil {
		t.Fatal(err)
	}
	if applied.Champion != "decision-tree" || applied.Named != "city-grid-neighbors" || applied.Models != 6 || applied.Error != "" {
		t.Errorf("%+v", applied)
	}
}

// Models that were restarted before an error learn nothing live: one is told.
func TestApplyCutShort(t *testing.T) {
	c := newCity(t)
	client, err := registry.Open(c.redis)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	// linear-regression comes before city-grid, whose audit trail is broken.
	if err := client.Set(t.Context(), "tripcast:{city-grid}:audit", "x", 0).Err(); err != nil {
		t.Fatal(err)
	}
	args := []string{"apply", "../../../infra/models.yaml", "--restart", "linear-regression,city-grid"}
	got := c.run(t, exitFail, args...)
	for _, want := range []string{
		"linear-regression begins anew: version 13 in place of 12\n", "linear-regression waits: models warm-up linear-regression\n",
		"models: registry: the key tripcast:{city-grid}:audit",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	if strings.Contains(got, "champion") {
		t.Errorf("as if it was applied: %q", got)
	}
	var applied appliedCatalogue
	if err := json.NewDecoder(strings.NewReader(c.run(t, exitFail, append(args, "--json")...))).Decode(&applied); err != nil {
		t.Fatal(err)
	}
	if len(applied.Restarted) != 1 || applied.Restarted[0].To != "14" || len(applied.Warming) != 1 || !strings.Contains(applied.Error, "{city-grid}:audit") || applied.Champion != "" {
		t.Errorf("%+v", applied)
	}
	if got := c.run(t, exitFail, "apply", args[1], "--restart", "none"); strings.Contains(got, "waits") {
		t.Errorf("what nothing was done of: %q", got)
	}
}

// The way back from a specification that was no good, as the README has it.
func TestGoBackToAnotherSpecification(t *testing.T) {
	c := newCity(t)
	c.produce(t, topicOf(t))
	was, is := filepath.Join(t.TempDir(), "old.yaml"), filepath.Join(t.TempDir(), "new.yaml")
	writeFile(t, was, string(infra.Models())+extra)
	writeFile(t, is, string(infra.Models())+strings.Replace(extra, "distance_km", "recent_speed", 1))
	c.run(t, exitOK, "apply", was, "--warm-up")
	version := fmt.Sprint(c.warmedUp(t, "extra").Version)
	// Of what it is, but for the version that it is that as.
	explained := func() string {
		t.Helper()
		_, of, _ := strings.Cut(c.run(t, exitOK, "show", "extra", "--json"), `"specification"`)
		return of
	}
	want := explained()
	c.run(t, exitOK, "apply", is, "--restart", "extra")
	c.warmedUp(t, "extra")

	c.run(t, exitOK, "apply", was, "--restart", "extra")
	c.run(t, exitOK, "warm-up", "extra", "--abandon")
	if got := c.run(t, exitOK, "rollback", "extra", version); !strings.Contains(got, "extra goes on from version "+version) {
		t.Errorf("%q", got)
	}
	if got := explained(); got != want {
		t.Errorf("it is\n%s\nand was\n%s", got, want)
	}
}
