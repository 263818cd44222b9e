package registry

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/online/linear"
	"tripcast.dev/functions/online/state"
	"tripcast.dev/functions/registry/redistest"
)

// store is a Redis that the suite runs on.
type store struct {
	url     string
	cluster *redistest.Cluster // that it is, if it is one
	through *proxy             // that its clients go through, if any
}

func storeAt(addr string) store { return store{url: "redis://" + addr} }

// TestStores runs the suite on every Redis there is: the embedded one always, a
// real redis-server and a Redis Cluster of three where one is on the PATH.
func TestStores(t *testing.T) {
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		suite(t, storeAt(miniredis.RunT(t).Addr()))
	})
	t.Run("redis-server", func(t *testing.T) {
		t.Parallel()
		suite(t, store{url: redistest.Start(t).URL()})
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		c := redistest.StartCluster(t, redistest.ClusterOptions{})
		suite(t, store{url: c.URL(), cluster: c})
	})
}

func suite(t *testing.T, s store) {
	tests := []struct {
		name string
		run  func(*testing.T, store)
	}{
		{"learns", testLearns},
		{"duplicates", testDuplicates},
		{"duplicates in a batch", testDuplicatesInBatch},
		{"group commit", testGroupCommit},
		{"together", testLearnAll},
		{"together stays together", testLearnAllStaysTogether},
		{"together fails alone", testLearnAllFailsAlone},
		{"together, contention", testLearnAllContention},
		{"together, too late", testLearnAllTooLate},
		{"contention", testContention},
		{"conflicts without end", testConflictsWithoutEnd},
		{"watches nothing afterwards", testWatchesNothingAfterwards},
		{"answer to EXEC lost", testLostAnswer},
		{"connections cut", testConnectionsCut},
		{"cancelled and redelivered", testCancelled},
		{"close finishes", testCloseFinishes},
		{"rotation of ids", testRotation},
		{"broken states", testBrokenStates},
		{"newer state", testNewerState},
		{"all broken", testAllBroken},
		{"panic", testPanic},
		{"lost writes", testLostWrites},
		{"no catalogue", testNoCatalogue},
		{"catalogue comes slowly", testFollowSlowly},
		{"apply", testApply},
		{"apply refuses a change", testApplyRefusesChange},
		{"list", testList},
		{"reader follows", testReaderFollows},
		{"reader reports broken models", testReaderBroken},
		{"reader without Redis", testReaderWithoutRedis},
		{"models given out do not change", testModelsDoNotChange},
		{"lineage", testLineage},
		{"lineage is trimmed", testLineageTrimmed},
		{"lineage where versions count again", testLineageCountsAgain},
		{"snapshots by count", testSnapshotsByCount},
		{"snapshots by age", testSnapshotsByAge},
		{"rollback", testRollback},
		{"rollback refuses", testRollbackRefuses},
		{"rollback repairs", testRollbackRepairs},
		{"rollback keeps what is newer", testRollbackKeepsNewer},
		{"rollback reads in order", testRollbackReadsInOrder},
		{"rollback races with learners", testRollbackRaces},
		{"rollback, answer lost", testRollbackAnswerLost},
		{"rollbacks are bounded", testRollbacksAreBounded},
		{"rollback to what was rebuilt", testRollbackRebuilt},
		{"read", testRead},
		{"import", testImport},
		{"import into nothing", testImportIntoNothing},
		{"import refuses", testImportRefuses},
		{"import repairs", testImportRepairs},
		{"import races with learners", testImportRaces},
		{"imports are bounded", testImportsAreBounded},
		{"travel, import", testTravelImport},
		{"promote", testPromote},
		{"succeed", testSucceed},
		{"succeed, reigns", testReign},
		{"succeed races", testSucceedRaces},
		{"succeed, conflict", testSucceedConflict},
		{"succeed fails", testSucceedFails},
		{"succeed, who is judged", testCandidates},
		{"succeed, streaks", testStreaks},
		{"succeed, a streak ends", testStreakEnds},
		{"succeed, a champion that cannot be served", testChampionUnfit},
		{"a champion that has left", testChampionHasLeft},
		{"apply cut short", testApplyCutShort},
		{"a champion that leaves meanwhile", testCandidateLeaves},
		{"promote holds on", testPromoteHoldsOn},
		{"apply keeps who was promoted", testApplyKeepsPromoted},
		{"promote races", testPromoteRaces},
		{"apply is audited", testApplyIsAudited},
		{"heads", testHeads},
		{"hostile history", testHostileHistory},
		{"hostile keys", testHostileKeys},
		{"hostile catalogue", testHostileCatalogue},
		{"head from before", testHeadFromBefore},
		{"travel", testTravel},
		{"travel, rollbacks", testTravelRollbacks},
		{"travel races with learners", testTravelRaces},
		{"travel where versions count again", testTravelCountsAgain},
		{"travel to a label", testTravelToLabel},
		{"travel finds what differs", testTravelDiffers},
		{"travel, panic", testTravelPanic},
		{"travel, not kept", testTravelNotKept},
		{"travel, rollback from before", testTravelRollbackFromBefore},
		{"travel, snapshot dropped", testTravelSnapshotDropped},
		{"travel, shipped models", testTravelShipped},
		{"travel, hostile", testTravelHostile},
		{"travel, stream lost", testTravelStreamLost},
		{"travel, broken head", testTravelBrokenHead},
		{"warm-up", testWarmUp},
		{"warm-up, live labels meanwhile", testWarmUpRaces},
		{"warm-up, learners that do not know", testWarmUpNotKnown},
		{"warm-up, gone from the catalogue", testWarmUpGone},
		{"warm-up, another log", testWarmUpOtherLog},
		{"warm-up, killed", testWarmUpKilled},
		{"warm-up, answers lost", testWarmUpAnswersLost},
		{"warm-up, answer to going live lost", testWarmUpLiveAnswerLost},
		{"warm-up, labels held back", testWarmUpHolds},
		{"warm-up, too late to join", testWarmUpTooLate},
		{"warm-up, never in time to join", testWarmUpNeverJoins},
		{"warm-up, disturbed", testWarmUpDisturbed},
		{"warm-up refuses", testWarmUpRefuses},
		{"warm-up abandoned, races", testAbandonRaces},
		{"warm-up skips panics", testWarmUpPanic},
		{"warm-up, log at fault", testWarmUpLogAtFault},
		{"warm-up, hostile", testWarmUpHostile},
		{"abandon", testAbandon},
		{"restart", testRestart},
		{"restart under another specification", testRestartChanged},
		{"restart of what is broken", testRestartBroken},
		{"restart of what is promoted", testRestartPromoted},
		{"promotion of what is restarted", testPromotedRestarted},
		{"restart refuses", testRestartRefuses},
		{"apply with a warm-up", testApplyWarmUp},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s.flush(t)
			tt.run(t, s)
		})
	}
}

// flush makes it an empty one.
func (s store) flush(t testing.TB) {
	t.Helper()
	client := s.client(t)
	flush := func(ctx context.Context, server *redis.Client) error { return server.FlushAll(ctx).Err() }
	var err error
	switch client := client.(type) {
	case *redis.ClusterClient:
		err = client.ForEachMaster(t.Context(), flush)
	case *redis.Client:
		err = flush(t.Context(), client)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (s store) client(t testing.TB) redis.UniversalClient {
	t.Helper()
	return s.clientOf(t, 0)
}

// clientOf is a client with so many connections to a server, or as many as by
// default if it is 0.
func (s store) clientOf(t testing.TB, connections int) redis.UniversalClient {
	t.Helper()
	single, cluster, err := parseURL(s.url)
	if err != nil {
		t.Fatal(err)
	}
	var client redis.UniversalClient
	if cluster != nil {
		if cluster.PoolSize = connections; s.through != nil {
			cluster.Dialer = s.through.dial
		}
		client = redis.NewClusterClient(cluster)
	} else {
		if single.PoolSize = connections; s.through != nil {
			single.Dialer = s.through.dial
		}
		client = redis.NewClient(single)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// applied applies a catalogue of the models, each of them its kind's defaults on
// the features a and b.
func (s store) applied(t testing.TB, models ...string) *online.Catalogue {
	t.Helper()
	c := catalogueOf(t, models...)
	if err := Apply(context.Background(), s.client(t), c); err != nil {
		t.Fatal(err)
	}
	return c
}

// catalogueOf parses models written as name or name=Kind; the first is the champion.
func catalogueOf(t testing.TB, models ...string) *online.Catalogue {
	t.Helper()
	var b strings.Builder
	for i, m := range models {
		name, kind, ok := strings.Cut(m, "=")
		if !ok {
			kind = "Traced"
		}
		if i == 0 {
			fmt.Fprintf(&b, "champion: %s\nmodels:\n", name)
		}
		fmt.Fprintf(&b, "  - name: %s\n    features: [a, b]\n    transformers: [StandardScaler]\n    model: %s\n", name, kind)
	}
	c, err := online.ParseCatalogue([]byte(b.String()), testKinds())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s store) committer(t testing.TB, opts CommitterOptions) *Committer {
	return committerOn(t, s.client(t), opts)
}

func committerOn(t testing.TB, client redis.UniversalClient, opts CommitterOptions) *Committer {
	c := NewCommitter(client, testKinds(), opts)
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// head reads what Redis holds of a model.
func (s store) head(t testing.TB, model string) head {
	t.Helper()
	var cmd *redis.SliceCmd
	err := pipelined(context.Background(), s.client(t), func(pipe redis.Pipeliner) {
		cmd = readHead(context.Background(), pipe, model, true)
	})
	if err != nil {
		t.Fatal(err)
	}
	h, err := headOf(model, cmd)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// raw is what Redis holds under the key of a model's head, of whatever type.
func (s store) raw(t testing.TB, model string) string {
	t.Helper()
	ctx, client := context.Background(), s.client(t)
	if text, err := client.Get(ctx, headKey(model)).Result(); err == nil {
		return text
	}
	return fmt.Sprint(client.HGetAll(ctx, headKey(model)).Val()) // sorted by field
}

// keep returns a function that puts a model's head back to what it is now.
func (s store) keep(t testing.TB, model string) (restore func()) {
	t.Helper()
	ctx, client := context.Background(), s.client(t)
	fields := client.HGetAll(ctx, headKey(model)).Val()
	return func() {
		t.Helper()
		_, err := client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Del(ctx, headKey(model))
			pipe.HSet(ctx, headKey(model), fields)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func labelN(n int) Label {
	return Label{
		ID:       fmt.Sprintf("trip-%d", n),
		Features: map[string]float64{"a": float64(n % 7), "b": math.Sin(float64(n))},
		Y:        float64(n),
	}
}

func learnN(t testing.TB, c *Committer, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if _, err := c.Learn(context.Background(), labelN(n)); err != nil {
			t.Fatal(err)
		}
	}
}

// checkLearned holds a model to exactly once: every label from 0 to n has been
// learned, once, and the state is, bit by bit, that of learning them in the
// committed order in one go.
func (s store) checkLearned(t *testing.T, spec online.Spec, n int) {
	t.Helper()
	h := s.head(t, spec.Name)
	if h.count != uint64(n) {
		t.Errorf("%s: count %d, want %d", spec.Name, h.count, n)
	}
	p, err := load(spec, h)
	if err != nil {
		t.Fatal(err)
	}
	order := tracedOrder(t, spec, h.state)
	seen := map[int]int{}
	replayed, err := spec.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, y := range order {
		seen[int(y)]++
		l := labelN(int(y))
		replayed.Learn(replayed.Vector(nil, l.Features), l.Y)
	}
	for i := range n {
		if seen[i] != 1 {
			t.Errorf("%s: label %d was learned %d times", spec.Name, i, seen[i])
		}
	}
	if len(order) != n {
		t.Errorf("%s: %d labels learned, want %d", spec.Name, len(order), n)
	}
	got, _ := p.AppendBinary(nil)
	want, _ := replayed.AppendBinary(nil)
	if !bytes.Equal(got, want) {
		t.Errorf("%s: the state is not that of its labels learned in their order", spec.Name)
	}
}

// tracedOrder returns the labels in the order a model has learned them.
func tracedOrder(t *testing.T, spec online.Spec, encoded string) []float64 {
	t.Helper()
	var last *traced
	k := testKinds()
	k.Regressors["Traced"] = func(p *online.Params) online.Regressor {
		last = newTraced(p.Width())
		return last
	}
	c, err := online.ParseCatalogue([]byte(jsonOf(t, spec)), k)
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Models[0].New()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.UnmarshalBinary([]byte(encoded)); err != nil {
		t.Fatal(err)
	}
	return last.ys
}

func jsonOf(t *testing.T, spec online.Spec) string {
	t.Helper()
	b, err := (&online.Catalogue{Champion: spec.Name, Models: []online.Spec{spec}}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// traced is a linear regression that remembers every label in order.
type traced struct {
	*linear.Regression
	ys []float64
}

func newTraced(width int) *traced {
	return &traced{Regression: linear.NewRegression(width, linear.DefaultConfig())}
}

func (m *traced) Learn(x []float64, y float64) {
	m.ys = append(m.ys, y)
	m.Regression.Learn(x, y)
}

func (m *traced) AppendBinary(b []byte) ([]byte, error) {
	inner, err := m.Regression.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	b = binary.AppendUvarint(b, uint64(len(inner)))
	b = append(b, inner...)
	for _, y := range m.ys {
		b = state.AppendFloat(b, y)
	}
	return b, nil
}

func (m *traced) UnmarshalBinary(data []byte) error {
	n, size := binary.Uvarint(data)
	if size <= 0 || n > uint64(len(data)-size) || (len(data)-size-int(n))%8 != 0 {
		return &state.FormatError{Kind: "Traced", Reason: "is not one"}
	}
	if err := m.Regression.UnmarshalBinary(data[size : size+int(n)]); err != nil {
		return err
	}
	m.ys = nil
	for rest := data[size+int(n):]; len(rest) > 0; rest = rest[8:] {
		m.ys = append(m.ys, math.Float64frombits(binary.LittleEndian.Uint64(rest)))
	}
	return nil
}

// fragile panics on the label 13.
type fragile struct{ *linear.Regression }

func (m fragile) Learn(x []float64, y float64) {
	m.Regression.Learn(x, y)
	if y == 13 {
		panic("13 is unlucky")
	}
}

func testKinds() online.Kinds {
	k := kinds.All()
	k.Regressors["Traced"] = func(p *online.Params) online.Regressor { return newTraced(p.Width()) }
	k.Regressors["Heavy"] = func(p *online.Params) online.Regressor { return newHeavy(p.Width()) }
	k.Regressors["Fragile"] = func(p *online.Params) online.Regressor {
		return fragile{linear.NewRegression(p.Width(), linear.DefaultConfig())}
	}
	return k
}

// hooked has a hook see what a client says to a server.
func hooked(t testing.TB, client redis.UniversalClient, hook redis.Hook) {
	t.Helper()
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		client.AddHook(hook)
		return
	}
	// A transaction is one of the server that has the keys.
	err := cluster.ForEachShard(t.Context(), func(_ context.Context, server *redis.Client) error {
		server.AddHook(hook)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// atExec is a hook that runs a function before every EXEC.
type atExec func()

func (h atExec) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (h atExec) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (h atExec) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if cmds[len(cmds)-1].Name() == "exec" {
			h()
		}
		return next(ctx, cmds)
	}
}
