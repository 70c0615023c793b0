// The compatibility matrix through franz-go, the client that uses the newest version of every request.
package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	. "watertable/clients/cells"
)

var suite = Suite{Client: "franz-go", Version: moduleVersion("github.com/twmb/franz-go")}

func moduleVersion(path string) string {
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == path {
			return module.Version
		}
	}
	return "unknown"
}

func client(options ...kgo.Opt) *kgo.Client {
	return Need(kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(suite.Bootstrap)}, options...)...))
}

func withAdmin(function func(*kadm.Client)) {
	handle := kadm.NewClient(client())
	defer handle.Close()
	function(handle)
}

func create(ctx context.Context, topic string, partitions int32, configs map[string]*string) string {
	withAdmin(func(admin *kadm.Client) {
		created := Need(admin.CreateTopic(ctx, partitions, 1, configs, topic))
		Must(created.Err)
		// Creation is answered before every part of the broker knows the topic; writing with acks=0 would lose records.
		WaitUntil(ctx, topic+" to be ready", func() bool {
			ends, err := admin.ListEndOffsets(ctx, topic)
			return err == nil && ends.Error() == nil && len(ends[topic]) == int(partitions)
		})
	})
	return topic
}

// produce waits for every acknowledgement.
func produce(ctx context.Context, records []*kgo.Record, options ...kgo.Opt) error {
	handle := client(options...)
	defer handle.Close()
	return handle.ProduceSync(ctx, records...).FirstErr()
}

func keyed(topic, row string) []*kgo.Record {
	var records []*kgo.Record
	for index := range Count {
		records = append(records, &kgo.Record{Topic: topic, Key: KeyOf(index), Value: ValueOf(row, index)})
	}
	return records
}

func numbered(topic, row string, count int, partition func(index int) int32) []*kgo.Record {
	var records []*kgo.Record
	for index := range count {
		records = append(records, &kgo.Record{Topic: topic, Value: ValueOf(row, index), Partition: partition(index)})
	}
	return records
}

func one(int) int32 { return 0 }

// messages polls exactly so many records.
func messages(ctx context.Context, handle *kgo.Client, count int) []Record {
	var read []Record
	for len(read) < count {
		fetches := handle.PollRecords(ctx, count-len(read))
		Must(fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) { read = append(read, plain(record)) })
	}
	return read
}

func plain(record *kgo.Record) Record {
	var headers []Header
	for _, header := range record.Headers {
		headers = append(headers, Header{Key: header.Key, Value: header.Value})
	}
	return Record{
		Partition: record.Partition, Offset: record.Offset, Key: record.Key, Value: record.Value,
		Time: record.Timestamp, Headers: headers,
	}
}

// readAll reads every partition from its beginning; the log must end exactly at count records.
func readAll(ctx context.Context, topic string, count int) []Record {
	partitions := map[int32]kgo.Offset{}
	withAdmin(func(admin *kadm.Client) {
		total := func() (sum int64) {
			Need(admin.ListEndOffsets(ctx, topic)).Each(func(end kadm.ListedOffset) {
				Must(end.Err)
				partitions[end.Partition] = kgo.NewOffset().AtStart()
				sum += end.Offset
			})
			return sum
		}
		WaitUntil(ctx, fmt.Sprintf("%d records in %s", count, topic), func() bool { return total() >= int64(count) })
		Check(total() == int64(count), "the log holds %d records, expected %d", total(), count)
	})
	handle := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: partitions}))
	defer handle.Close()
	return messages(ctx, handle, count)
}

func topicCreate(ctx context.Context, row string) {
	retention := "3600000"
	topic := create(ctx, suite.Topic(row), 3, map[string]*string{"retention.ms": &retention})
	withAdmin(func(admin *kadm.Client) {
		configs := Need(Need(admin.DescribeTopicConfigs(ctx, topic)).On(topic, nil))
		at := slices.IndexFunc(configs.Configs, func(config kadm.Config) bool { return config.Key == "retention.ms" })
		Check(at >= 0 && configs.Configs[at].MaybeValue() == retention, "retention.ms is not described as %s", retention)
		_, err := admin.CreateTopic(ctx, 3, 1, nil, topic)
		Check(errors.Is(err, kerr.TopicAlreadyExists), "a second creation gives %v", err)
	})
}

func topicList(ctx context.Context, row string) {
	first, second := create(ctx, suite.Topic(row+"-0"), 1, nil), create(ctx, suite.Topic(row+"-1"), 1, nil)
	withAdmin(func(admin *kadm.Client) {
		listed := Need(admin.ListTopics(ctx))
		Check(listed.Has(first) && listed.Has(second), "a created topic is not listed")
		Check(!listed.Has(suite.Topic(row+"-never")), "a topic is listed that nobody created")
	})
}

func topicDescribe(ctx context.Context, row string) {
	topic, never := create(ctx, suite.Topic(row), 3, nil), suite.Topic(row+"-never")
	withAdmin(func(admin *kadm.Client) {
		described := Need(admin.ListTopics(ctx, topic, never))
		Check(described[topic].ID != kadm.TopicID{}, "the topic has no id")
		partitions := described[topic].Partitions.Sorted()
		Check(len(partitions) == 3, "%d partitions", len(partitions))
		for index, part := range partitions {
			Must(part.Err)
			Check(part.Partition == int32(index), "partition %d", part.Partition)
			Check(part.Leader >= 0 && part.LeaderEpoch >= 0, "partition %d has no leader", index)
			Check(slices.Equal(part.Replicas, []int32{part.Leader}), "replicas are not the leader alone")
			Check(slices.Equal(part.ISR, []int32{part.Leader}), "in-sync replicas are not the leader alone")
		}
		Check(errors.Is(described[never].Err, kerr.UnknownTopicOrPartition), "an unknown topic gives %v", described[never].Err)
	})
}

func topicDelete(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 3, nil)
	withAdmin(func(admin *kadm.Client) {
		Must(Need(admin.DeleteTopic(ctx, topic)).Err)
		WaitUntil(ctx, "deleted topic to go", func() bool { return !Need(admin.ListTopics(ctx)).Has(topic) })
		_, err := admin.DeleteTopic(ctx, topic)
		Check(errors.Is(err, kerr.UnknownTopicOrPartition), "deleting it again gives %v", err)
	})
}

func produceRow(acks, codec string) {
	levels := map[string]kgo.Acks{"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks()}
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	suite.Row("produce-acks-"+acks+"-"+codec, func(ctx context.Context, row string) {
		topic := create(ctx, suite.Topic(row), 3, nil)
		Must(produce(ctx, keyed(topic, row), kgo.RequiredAcks(levels[acks]), kgo.ProducerBatchCompression(codecs[codec]),
			kgo.DisableIdempotentWrite()))
		CheckKeyed(row, readAll(ctx, topic, Count))
	})
}

func produceIdempotent(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 3, nil)
	// Idempotence is this client's default; small batches, so that several are in flight and sequences matter.
	Must(produce(ctx, keyed(topic, row), kgo.ProducerBatchMaxBytes(3000), kgo.ProducerBatchCompression(kgo.NoCompression())))
	CheckKeyed(row, readAll(ctx, topic, Count))
}

func consumeAssign(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 3, nil)
	records := numbered(topic, row, 90, func(index int) int32 { return int32(index % 3) })
	Must(produce(ctx, records, kgo.RecordPartitioner(kgo.ManualPartitioner())))
	handle := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {1: kgo.NewOffset().At(10)}}))
	defer handle.Close()
	for index, record := range messages(ctx, handle, 20) {
		Check(record.Partition == 1 && record.Offset == int64(10+index), "partition %d, offset %d", record.Partition, record.Offset)
		Check(Same(record.Value, ValueOf(row, 1+3*(10+index))), "value at %d differs", record.Offset)
	}
	withAdmin(func(admin *kadm.Client) {
		start, _ := Need(admin.ListStartOffsets(ctx, topic)).Lookup(topic, 1)
		end, _ := Need(admin.ListEndOffsets(ctx, topic)).Lookup(topic, 1)
		Check(start.Offset == 0 && end.Offset == 30, "the partition is [%d, %d)", start.Offset, end.Offset)
	})
}

func member(topic string, options ...kgo.Opt) *kgo.Client {
	return client(append([]kgo.Opt{
		kgo.ConsumerGroup(topic), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
	}, options...)...)
}

func consumeGroup(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 3, nil)
	Must(produce(ctx, keyed(topic, row)))
	handle := member(topic)
	defer handle.Close()
	CheckKeyed(row, messages(ctx, handle, Count))
	withAdmin(func(admin *kadm.Client) {
		group := Need(admin.DescribeGroups(ctx, topic))[topic]
		Check(group.Err == nil && group.State == "Stable" && len(group.Members) == 1, "the group is %s with %d members", group.State, len(group.Members))
	})
}

// groupMember polls and commits in a goroutine, as an application would.
type groupMember struct {
	handle   *kgo.Client
	mutex    sync.Mutex
	owned    []int32
	received []string
	done     chan struct{}
}

func join(topic string, options ...kgo.Opt) *groupMember {
	joined := &groupMember{done: make(chan struct{})}
	// An eager protocol assigns all at once and revokes all, a cooperative one only what changed.
	joined.handle = member(topic, append([]kgo.Opt{
		kgo.Balancers(kgo.RangeBalancer()), kgo.HeartbeatInterval(500 * time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, assigned map[string][]int32) {
			joined.mutex.Lock()
			defer joined.mutex.Unlock()
			joined.owned = append(joined.owned, assigned[topic]...)
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, revoked map[string][]int32) {
			joined.mutex.Lock()
			defer joined.mutex.Unlock()
			joined.owned = slices.DeleteFunc(joined.owned, func(partition int32) bool {
				return slices.Contains(revoked[topic], partition)
			})
		}),
	}, options...)...)
	go func() {
		defer close(joined.done)
		for {
			fetches := joined.handle.PollFetches(context.Background())
			if fetches.IsClientClosed() {
				return
			}
			joined.mutex.Lock()
			fetches.EachRecord(func(record *kgo.Record) { joined.received = append(joined.received, string(record.Value)) })
			joined.mutex.Unlock()
			// A commit that a rebalance refuses shows as a record that comes twice.
			_ = joined.handle.CommitUncommittedOffsets(context.Background())
		}
	}()
	return joined
}

func (member *groupMember) leave() {
	member.handle.Close()
	<-member.done
}

func (member *groupMember) state() (owned []int32, received []string) {
	member.mutex.Lock()
	defer member.mutex.Unlock()
	return slices.Clone(member.owned), slices.Clone(member.received)
}

func rebalance(ctx context.Context, row string) { sharePartitions(ctx, row) }

func consumerProtocol(ctx context.Context, row string) {
	// The client's newer group protocol is opted into by its context.
	next := context.WithValue(context.Background(), "opt_in_kafka_next_gen_balancer_beta", true)
	sharePartitions(ctx, row, kgo.WithContext(next))
	withAdmin(func(admin *kadm.Client) {
		// Only groups of the newer protocol are described this way.
		group := Need(admin.DescribeConsumerGroups(ctx, suite.Topic(row)))[suite.Topic(row)]
		Check(group.Err == nil && group.Epoch > 0, "the group is %+v", group)
	})
}

// sharePartitions has members that join and leave share six partitions; records come once all the while.
func sharePartitions(ctx context.Context, row string, options ...kgo.Opt) {
	topic := create(ctx, suite.Topic(row), 6, nil)
	var members []*groupMember
	shared := func() {
		WaitUntil(ctx, fmt.Sprintf("%d members to share the partitions", len(members)), func() bool {
			var all []int32
			for _, member := range members {
				owned, _ := member.state()
				if len(owned) != 6/len(members) {
					return false
				}
				all = append(all, owned...)
			}
			slices.Sort(all)
			return slices.Equal(all, []int32{0, 1, 2, 3, 4, 5})
		})
	}
	roundTrip := func(label string) {
		before := make([]int, len(members))
		for index, member := range members {
			_, received := member.state()
			before[index] = len(received)
		}
		records := numbered(topic, row+label, 60, func(index int) int32 { return int32(index % 6) })
		Must(produce(ctx, records, kgo.RecordPartitioner(kgo.ManualPartitioner())))
		var all []string
		WaitUntil(ctx, "records "+label, func() bool {
			all = nil
			for index, member := range members {
				_, received := member.state()
				all = append(all, received[before[index]:]...)
			}
			return len(all) >= len(records)
		})
		slices.Sort(all)
		for index, value := range all {
			Check(len(all) == len(records) && value == string(ValueOf(row+label, index)), "records %s differ or came twice", label)
		}
		for index, member := range members {
			_, received := member.state()
			Check(len(received) > before[index], "not every member got records %s", label)
		}
	}
	for range 3 {
		members = append(members, join(topic, options...))
		shared()
	}
	roundTrip("with three")
	for range 2 {
		members[0].leave()
		members = members[1:]
		shared()
	}
	roundTrip("with one")
	members[0].leave()
}

func commitResume(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 1, nil)
	Must(produce(ctx, numbered(topic, row, 100, one)))
	first := member(topic)
	messages(ctx, first, 40)
	Must(first.CommitUncommittedOffsets(ctx))
	withAdmin(func(admin *kadm.Client) {
		committed, _ := Need(admin.FetchOffsets(ctx, topic)).Lookup(topic, 0)
		Check(committed.Err == nil && committed.At == 40, "committed offset is %d", committed.At)
	})
	first.Close()
	second := member(topic)
	defer second.Close()
	for index, record := range messages(ctx, second, 60) {
		Check(record.Offset == int64(40+index), "offset %d instead of %d", record.Offset, 40+index)
		Check(Same(record.Value, ValueOf(row, 40+index)), "value at %d differs", record.Offset)
	}
}

func seekTime(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 1, nil)
	start := time.UnixMilli(1_700_000_000_000)
	records := numbered(topic, row, 100, one)
	for index, record := range records {
		record.Timestamp = start.Add(time.Duration(index) * time.Second)
	}
	Must(produce(ctx, records))
	withAdmin(func(admin *kadm.Client) {
		// Between two records: the later one is meant.
		found, _ := Need(admin.ListOffsetsAfterMilli(ctx, start.UnixMilli()+49_500, topic)).Lookup(topic, 0)
		Check(found.Offset == 50 && found.Timestamp == start.UnixMilli()+50_000, "found %d at %d", found.Offset, found.Timestamp)
		after, _ := Need(admin.ListOffsetsAfterMilli(ctx, start.UnixMilli()+1_000_000, topic)).Lookup(topic, 0)
		Check(after.Offset == 100, "a time after all records gives %d", after.Offset)
		newest, _ := Need(admin.ListMaxTimestampOffsets(ctx, topic)).Lookup(topic, 0)
		Check(newest.Offset == 99, "the record with the largest timestamp is at %d", newest.Offset)
	})
	at := kgo.NewOffset().AfterMilli(start.UnixMilli() + 49_500)
	handle := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: at}}))
	defer handle.Close()
	for index, record := range messages(ctx, handle, 50) {
		Check(record.Time.Equal(records[50+index].Timestamp), "timestamp at %d is %v", record.Offset, record.Time)
	}
}

func headers(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 1, nil)
	with := &kgo.Record{Topic: topic, Value: []byte("with")}
	for _, header := range Headers() {
		with.Headers = append(with.Headers, kgo.RecordHeader{Key: header.Key, Value: header.Value})
	}
	Must(produce(ctx, []*kgo.Record{with, {Topic: topic, Value: []byte("without")}}))
	read := readAll(ctx, topic, 2)
	CheckHeaders(read[0].Headers, Headers())
	CheckHeaders(read[1].Headers, nil)
}

func nullKeyValue(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 1, nil)
	var records []*kgo.Record
	for _, pair := range Nulls() {
		records = append(records, &kgo.Record{Topic: topic, Key: pair[0], Value: pair[1]})
	}
	Must(produce(ctx, records))
	for index, record := range readAll(ctx, topic, len(records)) {
		pair := Nulls()[index]
		Check(Same(record.Key, pair[0]) && Same(record.Value, pair[1]), "record %d is %q, %q", index, record.Key, record.Value)
	}
}

func largeMessageRefused(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 1, nil)
	err := produce(ctx, []*kgo.Record{{Topic: topic, Value: Incompressible(Large)}}, kgo.ProducerBatchMaxBytes(LargeLimit))
	Check(errors.Is(err, kerr.MessageTooLarge), "10 MiB give %v", err)
	Must(produce(ctx, []*kgo.Record{{Topic: topic, Value: []byte("small")}}))
	Check(string(readAll(ctx, topic, 1)[0].Value) == "small", "the log holds something else")
}

func largeMessageAccepted(ctx context.Context, row string) {
	limit := fmt.Sprint(LargeLimit)
	topic := create(ctx, suite.Topic(row), 1, map[string]*string{"max.message.bytes": &limit})
	value := Incompressible(Large)
	Must(produce(ctx, []*kgo.Record{{Topic: topic, Value: value}}, kgo.ProducerBatchMaxBytes(LargeLimit)))
	Check(Same(readAll(ctx, topic, 1)[0].Value, value), "read back differently")
}

func transactional(ctx context.Context, id string) *kgo.Client {
	handle := client(kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	// Fences older producers now, not with the first record. An open transaction of theirs is aborted meanwhile.
	WaitUntil(ctx, "a producer id", func() bool {
		_, _, err := handle.ProducerID(ctx)
		Check(err == nil || errors.Is(err, kerr.ConcurrentTransactions), "no producer id: %v", err)
		return err == nil
	})
	return handle
}

// transact writes one transaction, up to its end.
func transact(ctx context.Context, handle *kgo.Client, topic, row string, part rune) error {
	Must(handle.BeginTransaction())
	records := numbered(topic, row+"-"+string(part), Transaction, func(index int) int32 { return int32(index % 3) })
	return handle.ProduceSync(ctx, records...).FirstErr()
}

// isolated reads the first records of three partitions.
func isolated(ctx context.Context, topic string, count int, level kgo.IsolationLevel) []Record {
	start := kgo.NewOffset().AtStart()
	handle := client(kgo.FetchIsolationLevel(level),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: start, 1: start, 2: start}}))
	defer handle.Close()
	return messages(ctx, handle, count)
}

func transactions(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 3, nil)
	handle := transactional(ctx, topic)
	defer handle.Close()
	for _, part := range "abc" {
		Must(transact(ctx, handle, topic, row, part))
		Must(handle.EndTransaction(ctx, kgo.TransactionEndTry(part != 'b')))
	}
	CheckTransactions(row, "ac", isolated(ctx, topic, 2*Transaction, kgo.ReadCommitted()))
	CheckTransactions(row, "abc", isolated(ctx, topic, 3*Transaction, kgo.ReadUncommitted()))
}

func transactionFenced(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 3, nil)
	first := transactional(ctx, topic)
	defer first.Close()
	Must(transact(ctx, first, topic, row, 'a'))
	second := transactional(ctx, topic)
	defer second.Close()
	err := first.EndTransaction(ctx, kgo.TryCommit)
	Check(errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch), "the older producer's commit gives %v", err)
	Must(transact(ctx, second, topic, row, 'b'))
	Must(second.EndTransaction(ctx, kgo.TryCommit))
	CheckTransactions(row, "b", isolated(ctx, topic, Transaction, kgo.ReadCommitted()))
}

func transactionOffsets(ctx context.Context, row string) {
	source, sink := create(ctx, suite.Topic(row), 1, nil), create(ctx, suite.Topic(row+"-sink"), 3, nil)
	Must(produce(ctx, numbered(source, row, 40, one)))
	for _, part := range "ab" {
		session := Need(kgo.NewGroupTransactSession(
			kgo.SeedBrokers(suite.Bootstrap), kgo.TransactionalID(sink), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ConsumerGroup(source), kgo.ConsumeTopics(source), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		))
		read := messages(ctx, session.Client(), 20)
		Check(read[0].Offset == map[rune]int64{'a': 0, 'b': 20}[part], "does not begin where the transaction ended")
		Must(session.Begin())
		records := numbered(sink, row+"-"+string(part), Transaction, func(index int) int32 { return int32(index % 3) })
		Must(session.ProduceSync(ctx, records...).FirstErr())
		ended := Need(session.End(ctx, kgo.TransactionEndTry(part == 'a')))
		Check(ended == (part == 'a'), "transaction %c ended as %v", part, ended)
		session.Close()
		withAdmin(func(admin *kadm.Client) {
			committed, _ := Need(admin.FetchOffsets(ctx, source)).Lookup(source, 0)
			Check(committed.Err == nil && committed.At == 20, "committed offset is %d after %c", committed.At, part)
		})
	}
	CheckTransactions(row, "a", isolated(ctx, sink, Transaction, kgo.ReadCommitted()))
}

func main() {
	suite.Row("topic-create", topicCreate)
	suite.Row("topic-list", topicList)
	suite.Row("topic-describe", topicDescribe)
	suite.Row("topic-delete", topicDelete)
	for _, acks := range Acks {
		for _, codec := range Codecs {
			produceRow(acks, codec)
		}
	}
	suite.Row("produce-idempotent", produceIdempotent)
	suite.Row("consume-assign", consumeAssign)
	suite.Row("consume-group", consumeGroup)
	suite.Row("rebalance", rebalance)
	suite.Row("consumer-protocol", consumerProtocol)
	suite.Row("commit-resume", commitResume)
	suite.Row("seek-time", seekTime)
	suite.Row("headers", headers)
	suite.Row("null-key-value", nullKeyValue)
	suite.Row("large-message-refused", largeMessageRefused)
	suite.Row("large-message-accepted", largeMessageAccepted)
	suite.Row("transactions", transactions)
	suite.Row("transaction-fenced", transactionFenced)
	suite.Row("transaction-offsets", transactionOffsets)
	suite.Main()
}
