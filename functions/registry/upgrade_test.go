package registry

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/redis/go-redis/v9"
)

// putOldHead writes the model one as a program has that kept no history.
func putOldHead(t *testing.T, client redis.UniversalClient) {
	t.Helper()
	data, err := os.ReadFile("testdata/head-without-history.json")
	if err != nil {
		t.Fatal(err)
	}
	var old struct {
		Head  map[string]string
		State []byte
		IDs   []any
	}
	if err := json.Unmarshal(data, &old); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		pipe.HSet(t.Context(), headKey("one"), old.Head)
		pipe.HSet(t.Context(), headKey("one"), fieldState, old.State)
		return pipe.SAdd(t.Context(), idsKey("one", "a"), old.IDs...).Err()
	}); err != nil {
		t.Fatal(err)
	}
}

// A model goes on from what an earlier program has written, and an earlier
// program may go on beside this one.
func testHeadFromBefore(t *testing.T, s store) {
	ctx, client := t.Context(), s.client(t)
	putOldHead(t, client)
	s.applied(t, "one=LinearRegression")
	infos, err := List(ctx, client, testKinds())
	if err != nil {
		t.Fatal(err)
	}
	if i := infos[0]; i.Version != 3 || i.Count != 3 || i.Broken != "" {
		t.Fatalf("model %+v", i)
	}
	old := s.head(t, "one")
	committer := s.committer(t, CommitterOptions{})
	if outcomes, err := committer.Learn(ctx, labelN(2)); err != nil || !outcomes[0].Duplicate {
		t.Errorf("%v, %v, want a duplicate", outcomes, err)
	}
	learnN(t, committer, 3, 5)
	commits := s.lineage(t, "one", 0)
	if len(commits) != 2 || commits[1].Version != 4 || commits[1].Parent != old.commit || commits[0].Count != 5 {
		t.Errorf("the lineage is %+v", commits)
	}
	if got := versionsOf(s.snapshots(t, "one")); got != "[4]" {
		t.Errorf("snapshots %s, want one of the first commit", got)
	}

	// The earlier program commits: a version without a lineage.
	h := s.head(t, "one")
	client.HSet(ctx, headKey("one"), fieldVersion, h.version+1, fieldCommit, "another")
	learnN(t, committer, 5, 6)
	if c := s.lineage(t, "one", 1)[0]; c.Version != h.version+2 || c.Parent != "another" {
		t.Errorf("the newest commit is %+v", c)
	}
	if _, err := Rollback(ctx, client, testKinds(), "one", 4, 0, Actor{Name: "ann"}); err != nil {
		t.Fatal(err)
	}
	if got := s.head(t, "one"); got.count != 4 || got.version != h.version+3 {
		t.Errorf("version %d and count %d after the rollback", got.version, got.count)
	}
}
