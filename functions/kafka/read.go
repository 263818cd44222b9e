package kafka

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// stall is how long a broker may keep silent about records it has.
const stall = 30 * time.Second

// place is a partition of a topic.
type place struct {
	topic  string
	number int32
}

// ReadAll calls each with every committed record that is in the topics now, from
// their start on, until it returns false. Those of a partition come in order. A
// topic that does not exist is an error.
func (c Connection) ReadAll(ctx context.Context, each func(*kgo.Record) bool, topics ...string) error {
	client, err := c.Client(
		kgo.ClientID("tripcast-read"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// A partition may end with the marker of a transaction, which is the only
		// sign that its end is reached.
		kgo.KeepControlRecords(),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := readAll(ctx, client, each, topics); err != nil {
		return fmt.Errorf("kafka: reading %s of %s: %w", strings.Join(topics, ", "), c, err)
	}
	return nil
}

func readAll(ctx context.Context, client *kgo.Client, each func(*kgo.Record) bool, topics []string) error {
	left, err := unread(ctx, client, topics)
	if err != nil {
		return err
	}
	for more := true; len(left) > 0 && more; {
		polling, cancel := context.WithTimeoutCause(ctx, stall, fmt.Errorf("%d partitions have sent nothing for %s", len(left), stall))
		fetches := client.PollRecords(polling, 10_000)
		cause := context.Cause(polling)
		cancel()
		if cause == nil {
			cause = fetches.Err()
		}
		if cause != nil {
			return cause
		}
		fetches.EachRecord(func(r *kgo.Record) {
			at := place{r.Topic, r.Partition}
			end, ok := left[at]
			if !ok {
				return // it has come since
			}
			if more && !r.Attrs.IsControl() && r.Offset < end {
				more = each(r)
			}
			if r.Offset+1 >= end {
				delete(left, at)
			}
		})
	}
	return nil
}

// unread lets the client read the topics from their start and returns where each
// partition ends, if there is anything in it.
func unread(ctx context.Context, client *kgo.Client, topics []string) (map[place]int64, error) {
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, topics...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for their starts: %w", err)
	}
	ends, err := admin.ListCommittedOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for their ends: %w", err)
	}
	left := map[place]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if start, ok := starts.Lookup(end.Topic, end.Partition); ok && start.Offset < end.Offset {
			left[place{end.Topic, end.Partition}] = end.Offset
		}
	})
	client.AddConsumePartitions(starts.KOffsets())
	return left, nil
}
