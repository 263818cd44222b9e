package stream

import (
	"context"
	"fmt"
	"testing"
	"time"

	tripsql "tripcast.dev/sql"
)

func TestProbe(t *testing.T) {
	ctx := context.Background()
	statements, err := tripsql.Load(tripsql.Files(), tripsql.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEngine(ctx, statements)
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	for _, v := range e.views {
		t.Log(v.name, v.strategy, v.reason, v.deferred, v.columns)
	}
	now := time.Now()
	off := int64(0)
	mk := func(source, js string) row {
		off++
		return row{fmt.Sprint(off), string(appendRow(nil, e.sources[source].columns, []value{textValue(js), textValue("k"), intValue(0), intValue(off), intValue(now.UnixMicro())}))}
	}
	for tick := range 12 {
		var pu, do, pr []row
		for i := range 1000 {
			at := time.Date(2016, 1, 5, 8, tick*2, i%60, 0, time.UTC)
			id := fmt.Sprintf("t%d-%d", tick, i)
			pu = append(pu, mk("pick_ups_raw", fmt.Sprintf(`{"trip_id":%q,"picked_up_at":%q,"passenger_count":1,"pickup_longitude":-73.9%d,"pickup_latitude":40.7%d,"dropoff_longitude":-73.95,"dropoff_latitude":40.75}`, id, at.Format(time.RFC3339), i%9, i%7)))
			if tick > 0 {
				prev := fmt.Sprintf("t%d-%d", tick-1, i)
				do = append(do, mk("drop_offs_raw", fmt.Sprintf(`{"trip_id":%q,"dropped_off_at":%q}`, prev, at.Format(time.RFC3339))))
				pr = append(pr, mk("predictions_raw", fmt.Sprintf(`{"trip_id":%q,"features":{"a":1},"predictions":{"m":{"duration_s":100,"version":3}},"champion":"m"}`, prev)))
			}
		}
		start := time.Now()
		out, err := e.advance(ctx, now, map[string][]row{"pick_ups_raw": pu, "drop_offs_raw": do, "predictions_raw": pr})
		if err != nil {
			t.Fatal(err)
		}
		t.Log(tick, time.Since(start), len(out["features"].added), len(out["features"].removed), len(out["labels"].added), len(out["labels"].removed))
		if tick == 11 {
			vals := make([]value, 4)
			decodeRow(out["features"].added[5].data, e.byName["features"].columns, vals)
			t.Log(vals[2].text)
			decodeRow(out["labels"].added[5].data, e.byName["labels"].columns, vals)
			t.Log(vals[1].text, vals[2].float(), vals[3].text)
		}
	}
	start := time.Now()
	if err := e.catchUp(ctx, now); err != nil {
		t.Fatal(err)
	}
	t.Log(time.Since(start))
	for _, v := range e.views {
		if v.out != nil {
			t.Log(v.name, v.out.count)
		}
	}
}
