package registry

import (
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

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

// What changes together is in one slot of a Redis Cluster, which refuses
// anything else.
func TestCluster(t *testing.T) {
	client := startCluster(t)
	ctx := t.Context()
	if err := Apply(ctx, client, catalogueOf(t, "one", "two")); err != nil {
		t.Fatal(err)
	}
	learnN(t, committerOn(t, client, CommitterOptions{SnapshotEvery: time.Nanosecond, SnapshotCount: 2}), 0, 4)
	if _, err := Promote(ctx, client, testKinds(), "two", "one", Actor{Name: "ann"}); err != nil {
		t.Error(err)
	}
	if _, err := Promote(ctx, client, testKinds(), "one", "one", Actor{Name: "ann"}); !errors.Is(err, ErrConflict) {
		t.Error(err)
	}
	if _, err := Rollback(ctx, client, testKinds(), "one", 3, 4, Actor{Name: "ann"}); err != nil {
		t.Error(err)
	}
	actions, err := Audit(ctx, client, 0)
	if err != nil || len(actions) != 3 {
		t.Errorf("audit trail %+v, %v", actions, err)
	}
	heads, err := Heads(ctx, client, testKinds())
	if err != nil || heads[0].Version != 5 || heads[0].Count != 3 || heads[1].Version != 4 || !heads[1].Champion {
		t.Errorf("heads %+v, %v", heads, err)
	}
	if commits, err := Lineage(ctx, client, "one", 0); err != nil || len(commits) != 5 {
		t.Errorf("lineage %+v, %v", commits, err)
	}
	for _, to := range []Destination{{}, {Version: 4}, {Label: "trip-1"}} {
		j, err := Travel(ctx, client, testKinds(), "one", to, false)
		if err != nil {
			t.Fatal(err)
		}
		rebuild(t, j, labelled(4))
	}
}

// startCluster returns a client of a cluster that is one redis-server: it has
// every slot, and refuses a transaction over two of them.
func startCluster(t *testing.T) redis.UniversalClient {
	t.Helper()
	addr := startRedisServer(t, "--cluster-enabled", "yes", "--cluster-port", freePort(t))
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{addr}})
	t.Cleanup(func() { client.Close() })
	one := redis.NewClient(&redis.Options{Addr: addr})
	defer one.Close()
	if err := one.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if err := client.Set(t.Context(), "probe", 1, 0).Err(); err == nil {
			return client
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the cluster does not come up")
	return nil
}
