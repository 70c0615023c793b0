// The compatibility matrix through sarama, the client whose request versions are fixed by configuration.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/IBM/sarama"

	. "watertable/clients/cells"
)

var suite = Suite{Client: "sarama", Version: moduleVersion("github.com/IBM/sarama")}

func moduleVersion(path string) string {
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == path {
			return module.Version
		}
	}
	return "unknown"
}

func settings() *sarama.Config {
	config := sarama.NewConfig()
	// The newest release it knows, so that its newest request versions are used.
	config.Version = sarama.MaxVersion
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	config.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewHashPartitioner
	return config
}

func addresses() []string { return []string{suite.Bootstrap} }

func withAdmin(function func(sarama.ClusterAdmin, sarama.Client)) {
	client := Need(sarama.NewClient(addresses(), settings()))
	defer client.Close()
	function(Need(sarama.NewClusterAdminFromClient(client)), client)
}

func create(ctx context.Context, topic string, partitions int32, configs map[string]*string) string {
	withAdmin(func(admin sarama.ClusterAdmin, client sarama.Client) {
		Must(admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: configs}, false))
		// Creation is answered before every part of the broker knows the topic; writing with acks=0 would lose records.
		WaitUntil(ctx, topic+" to be ready", func() bool {
			if client.RefreshMetadata(topic) != nil {
				return false
			}
			for partition := range partitions {
				if _, err := client.GetOffset(topic, partition, sarama.OffsetNewest); err != nil {
					return false
				}
			}
			return true
		})
	})
	return topic
}

// connected is a client whose connections are open. The producer opens them itself, but while it does, batches of other
// partitions may find "broker not connected", close the connection under one that was sent, and send it again.
func connected(config *sarama.Config) sarama.Client {
	client := Need(sarama.NewClient(addresses(), config))
	for _, broker := range client.Brokers() {
		if err := broker.Open(config); err != nil && !errors.Is(err, sarama.ErrAlreadyConnected) {
			Must(err)
		}
		Need(broker.Connected())
	}
	return client
}

// produce waits for every acknowledgement and returns the first error.
func produce(config *sarama.Config, messages []*sarama.ProducerMessage) error {
	client := connected(config)
	defer client.Close()
	producer := Need(sarama.NewSyncProducerFromClient(client))
	defer producer.Close()
	err := producer.SendMessages(messages)
	var all sarama.ProducerErrors
	if errors.As(err, &all) {
		return all[0].Err
	}
	return err
}

func encoded(value []byte) sarama.Encoder {
	if value == nil {
		return nil
	}
	return sarama.ByteEncoder(value)
}

func keyed(topic, row string) []*sarama.ProducerMessage {
	var messages []*sarama.ProducerMessage
	for index := range Count {
		messages = append(messages, &sarama.ProducerMessage{Topic: topic, Key: encoded(KeyOf(index)), Value: encoded(ValueOf(row, index))})
	}
	return messages
}

func numbered(topic, row string, count int, partition func(index int) int32) []*sarama.ProducerMessage {
	var messages []*sarama.ProducerMessage
	for index := range count {
		messages = append(messages, &sarama.ProducerMessage{Topic: topic, Value: encoded(ValueOf(row, index)), Partition: partition(index)})
	}
	return messages
}

func manual() *sarama.Config {
	config := settings()
	config.Producer.Partitioner = sarama.NewManualPartitioner
	return config
}

func one(int) int32 { return 0 }

func plain(message *sarama.ConsumerMessage) Record {
	var headers []Header
	for _, header := range message.Headers {
		headers = append(headers, Header{Key: string(header.Key), Value: header.Value})
	}
	return Record{
		Partition: message.Partition, Offset: message.Offset, Key: message.Key, Value: message.Value,
		Time: message.Timestamp, Headers: headers,
	}
}

// readFrom reads so many records of one partition.
func readFrom(ctx context.Context, topic string, partition int32, offset int64, count int) []Record {
	return readIsolated(ctx, topic, partition, offset, count, sarama.ReadUncommitted)
}

func readIsolated(ctx context.Context, topic string, partition int32, offset int64, count int, level sarama.IsolationLevel) []Record {
	config := settings()
	config.Consumer.IsolationLevel = level
	config.Consumer.Return.Errors = true
	consumer := Need(sarama.NewConsumer(addresses(), config))
	defer consumer.Close()
	part := Need(consumer.ConsumePartition(topic, partition, offset))
	defer part.AsyncClose()
	var read []Record
	for len(read) < count {
		select {
		case message := <-part.Messages():
			read = append(read, plain(message))
		case failed := <-part.Errors():
			Must(failed.Err)
		case <-ctx.Done():
			Must(ctx.Err())
		}
	}
	return read
}

// awaitCount waits until readers see count records, and returns where partitions end. What is acknowledged with acks=1,
// this client's default, may become visible a little later.
func awaitCount(ctx context.Context, topic string, count int) map[int32]int64 {
	ends := map[int32]int64{}
	withAdmin(func(_ sarama.ClusterAdmin, client sarama.Client) {
		total := func() (sum int64) {
			for _, partition := range Need(client.Partitions(topic)) {
				ends[partition] = Need(client.GetOffset(topic, partition, sarama.OffsetNewest))
				sum += ends[partition]
			}
			return sum
		}
		WaitUntil(ctx, fmt.Sprintf("%d records in %s", count, topic), func() bool { return total() >= int64(count) })
		Check(total() == int64(count), "the log holds %d records, expected %d", total(), count)
	})
	return ends
}

// readAll reads every partition from its beginning; the log must end exactly at count records.
func readAll(ctx context.Context, topic string, count int) []Record {
	var read []Record
	for partition, end := range awaitCount(ctx, topic, count) {
		read = append(read, readFrom(ctx, topic, partition, sarama.OffsetOldest, int(end))...)
	}
	return read
}

func topicCreate(ctx context.Context, row string) {
	retention := "3600000"
	topic := create(ctx, suite.Topic(row), 3, map[string]*string{"retention.ms": &retention})
	withAdmin(func(admin sarama.ClusterAdmin, _ sarama.Client) {
		entries := Need(admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic}))
		at := slices.IndexFunc(entries, func(entry sarama.ConfigEntry) bool { return entry.Name == "retention.ms" })
		Check(at >= 0 && entries[at].Value == retention, "retention.ms is not described as %s", retention)
		err := admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 3, ReplicationFactor: 1}, false)
		Check(errors.Is(err, sarama.ErrTopicAlreadyExists), "a second creation gives %v", err)
	})
}

func topicList(ctx context.Context, row string) {
	first, second := create(ctx, suite.Topic(row+"-0"), 1, nil), create(ctx, suite.Topic(row+"-1"), 1, nil)
	withAdmin(func(admin sarama.ClusterAdmin, _ sarama.Client) {
		listed := Need(admin.ListTopics())
		Check(listed[first].NumPartitions == 1 && listed[second].NumPartitions == 1, "a created topic is not listed")
		_, never := listed[suite.Topic(row+"-never")]
		Check(!never, "a topic is listed that nobody created")
	})
}

func topicDescribe(ctx context.Context, row string) {
	topic, never := create(ctx, suite.Topic(row), 3, nil), suite.Topic(row+"-never")
	withAdmin(func(admin sarama.ClusterAdmin, _ sarama.Client) {
		described := Need(admin.DescribeTopics([]string{topic, never}))
		slices.SortFunc(described, func(left, right *sarama.TopicMetadata) int { return len(left.Name) - len(right.Name) })
		Check(described[0].Name == topic && len(described[0].Partitions) == 3, "not three partitions")
		var ids []int32
		for _, part := range described[0].Partitions {
			ids = append(ids, part.ID)
			Check(part.Err == sarama.ErrNoError && part.Leader >= 0, "partition %d has no leader", part.ID)
			Check(slices.Equal(part.Replicas, []int32{part.Leader}), "replicas are not the leader alone")
			Check(slices.Equal(part.Isr, []int32{part.Leader}), "in-sync replicas are not the leader alone")
		}
		slices.Sort(ids)
		Check(slices.Equal(ids, []int32{0, 1, 2}), "partitions are %v", ids)
		Check(described[1].Err == sarama.ErrUnknownTopicOrPartition, "an unknown topic gives %v", described[1].Err)
	})
}

func topicDelete(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 3, nil)
	withAdmin(func(admin sarama.ClusterAdmin, _ sarama.Client) {
		Must(admin.DeleteTopic(topic))
		WaitUntil(ctx, "deleted topic to go", func() bool {
			_, there := Need(admin.ListTopics())[topic]
			return !there
		})
		err := admin.DeleteTopic(topic)
		Check(errors.Is(err, sarama.ErrUnknownTopicOrPartition), "deleting it again gives %v", err)
	})
}

func produceRow(acks, codec string) {
	levels := map[string]sarama.RequiredAcks{"0": sarama.NoResponse, "1": sarama.WaitForLocal, "all": sarama.WaitForAll}
	codecs := map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	}
	suite.Row("produce-acks-"+acks+"-"+codec, func(ctx context.Context, row string) {
		topic := create(ctx, suite.Topic(row), 3, nil)
		config := settings()
		config.Producer.RequiredAcks, config.Producer.Compression = levels[acks], codecs[codec]
		Must(produce(config, keyed(topic, row)))
		CheckKeyed(row, readAll(ctx, topic, Count))
	})
}

func produceIdempotent(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 3, nil)
	config := settings()
	config.Producer.Idempotent, config.Producer.RequiredAcks, config.Net.MaxOpenRequests = true, sarama.WaitForAll, 1
	// Small batches, so that sequences matter.
	config.Producer.Flush.MaxMessages = 7
	Must(produce(config, keyed(topic, row)))
	CheckKeyed(row, readAll(ctx, topic, Count))
}

func consumeAssign(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 3, nil)
	Must(produce(manual(), numbered(topic, row, 90, func(index int) int32 { return int32(index % 3) })))
	awaitCount(ctx, topic, 90)
	for index, record := range readFrom(ctx, topic, 1, 10, 20) {
		Check(record.Partition == 1 && record.Offset == int64(10+index), "partition %d, offset %d", record.Partition, record.Offset)
		Check(Same(record.Value, ValueOf(row, 1+3*(10+index))), "value at %d differs", record.Offset)
	}
	withAdmin(func(_ sarama.ClusterAdmin, client sarama.Client) {
		start, end := Need(client.GetOffset(topic, 1, sarama.OffsetOldest)), Need(client.GetOffset(topic, 1, sarama.OffsetNewest))
		Check(start == 0 && end == 30, "the partition is [%d, %d)", start, end)
	})
}

// groupMember consumes in goroutines of the client; it implements sarama.ConsumerGroupHandler.
type groupMember struct {
	group    sarama.ConsumerGroup
	cancel   context.CancelFunc
	done     chan struct{}
	limit    int
	mutex    sync.Mutex
	owned    []int32
	received []Record
}

// join becomes a member; it stops taking records after limit, so that commits are exact.
func join(topic string, limit int) *groupMember {
	ctx, cancel := context.WithCancel(context.Background())
	member := &groupMember{
		group: Need(sarama.NewConsumerGroup(addresses(), topic, settings())), cancel: cancel, done: make(chan struct{}), limit: limit,
	}
	go func() {
		defer close(member.done)
		for ctx.Err() == nil {
			if err := member.group.Consume(ctx, []string{topic}, member); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return
			}
		}
	}()
	return member
}

func (member *groupMember) Setup(session sarama.ConsumerGroupSession) error {
	member.mutex.Lock()
	defer member.mutex.Unlock()
	for _, partitions := range session.Claims() {
		member.owned = slices.Clone(partitions)
	}
	return nil
}

func (member *groupMember) Cleanup(sarama.ConsumerGroupSession) error {
	member.mutex.Lock()
	defer member.mutex.Unlock()
	member.owned = nil
	return nil
}

func (member *groupMember) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	// Once per session, because a commit waits behind the fetch that blocks on the same connection.
	defer session.Commit()
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			if member.take(message) {
				session.MarkMessage(message, "noted")
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

func (member *groupMember) take(message *sarama.ConsumerMessage) bool {
	member.mutex.Lock()
	defer member.mutex.Unlock()
	if len(member.received) == member.limit {
		return false
	}
	member.received = append(member.received, plain(message))
	return true
}

func (member *groupMember) state() (owned []int32, received []Record) {
	member.mutex.Lock()
	defer member.mutex.Unlock()
	return slices.Clone(member.owned), slices.Clone(member.received)
}

func (member *groupMember) receive(ctx context.Context, count int) []Record {
	WaitUntil(ctx, fmt.Sprintf("%d messages", count), func() bool {
		_, received := member.state()
		return len(received) >= count
	})
	_, received := member.state()
	return received
}

func (member *groupMember) leave() {
	member.cancel()
	<-member.done
	Must(member.group.Close())
}

const everything = 1 << 30

func consumeGroup(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 3, nil)
	Must(produce(settings(), keyed(topic, row)))
	member := join(topic, everything)
	CheckKeyed(row, member.receive(ctx, Count))
	withAdmin(func(admin sarama.ClusterAdmin, _ sarama.Client) {
		group := Need(admin.DescribeConsumerGroups([]string{topic}))[0]
		Check(group.State == "Stable" && len(group.Members) == 1, "the group is %s with %d members", group.State, len(group.Members))
	})
	member.leave()
}

func rebalance(ctx context.Context, row string) {
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
		sent := numbered(topic, row+label, 60, func(index int) int32 { return int32(index % 6) })
		Must(produce(manual(), sent))
		var all []string
		WaitUntil(ctx, "records "+label, func() bool {
			all = nil
			for index, member := range members {
				_, received := member.state()
				for _, record := range received[before[index]:] {
					all = append(all, string(record.Value))
				}
			}
			return len(all) >= len(sent)
		})
		slices.Sort(all)
		for index, value := range all {
			Check(len(all) == len(sent) && value == string(ValueOf(row+label, index)), "records %s differ or came twice", label)
		}
		for index, member := range members {
			_, received := member.state()
			Check(len(received) > before[index], "not every member got records %s", label)
		}
	}
	for range 3 {
		members = append(members, join(topic, everything))
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
	Must(produce(settings(), numbered(topic, row, 100, one)))
	first := join(topic, 40)
	first.receive(ctx, 40)
	first.leave()
	withAdmin(func(admin sarama.ClusterAdmin, _ sarama.Client) {
		block := Need(admin.ListConsumerGroupOffsets(topic, map[string][]int32{topic: {0}})).GetBlock(topic, 0)
		Check(block.Offset == 40 && block.Metadata == "noted", "committed offset is %d with %q", block.Offset, block.Metadata)
	})
	second := join(topic, everything)
	for index, record := range second.receive(ctx, 60) {
		Check(record.Offset == int64(40+index), "offset %d instead of %d", record.Offset, 40+index)
		Check(Same(record.Value, ValueOf(row, 40+index)), "value at %d differs", record.Offset)
	}
	second.leave()
}

func seekTime(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 1, nil)
	start := time.UnixMilli(1_700_000_000_000)
	messages := numbered(topic, row, 100, one)
	for index, message := range messages {
		message.Timestamp = start.Add(time.Duration(index) * time.Second)
	}
	Must(produce(settings(), messages))
	awaitCount(ctx, topic, 100)
	withAdmin(func(_ sarama.ClusterAdmin, client sarama.Client) {
		// Between two records: the later one is meant.
		found := Need(client.GetOffset(topic, 0, start.UnixMilli()+49_500))
		Check(found == 50, "the offset for the time is %d", found)
		after := Need(client.GetOffset(topic, 0, start.UnixMilli()+1_000_000))
		Check(after == -1, "a time after all records gives %d", after)
	})
	for index, record := range readFrom(ctx, topic, 0, 50, 50) {
		Check(record.Time.Equal(start.Add(time.Duration(50+index)*time.Second)), "timestamp at %d is %v", record.Offset, record.Time)
	}
}

func headers(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 1, nil)
	with := &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("with")}
	for _, header := range Headers() {
		with.Headers = append(with.Headers, sarama.RecordHeader{Key: []byte(header.Key), Value: header.Value})
	}
	Must(produce(settings(), []*sarama.ProducerMessage{with, {Topic: topic, Value: sarama.StringEncoder("without")}}))
	read := readAll(ctx, topic, 2)
	CheckHeaders(read[0].Headers, Headers())
	CheckHeaders(read[1].Headers, nil)
}

func nullKeyValue(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 1, nil)
	var messages []*sarama.ProducerMessage
	for _, pair := range Nulls() {
		messages = append(messages, &sarama.ProducerMessage{Topic: topic, Key: encoded(pair[0]), Value: encoded(pair[1]), Partition: 0})
	}
	Must(produce(manual(), messages))
	for index, record := range readAll(ctx, topic, len(messages)) {
		pair := Nulls()[index]
		Check(Same(record.Key, pair[0]) && Same(record.Value, pair[1]), "record %d is %q, %q", index, record.Key, record.Value)
	}
}

func large() *sarama.Config {
	config := settings()
	config.Producer.MaxMessageBytes = LargeLimit
	return config
}

func largeMessageRefused(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 1, nil)
	err := produce(large(), []*sarama.ProducerMessage{{Topic: topic, Value: encoded(Incompressible(Large))}})
	Check(errors.Is(err, sarama.ErrMessageSizeTooLarge), "10 MiB give %v", err)
	Must(produce(settings(), []*sarama.ProducerMessage{{Topic: topic, Value: sarama.StringEncoder("small")}}))
	Check(string(readAll(ctx, topic, 1)[0].Value) == "small", "the log holds something else")
}

func largeMessageAccepted(ctx context.Context, row string) {
	limit := fmt.Sprint(LargeLimit)
	topic := create(ctx, suite.Topic(row), 1, map[string]*string{"max.message.bytes": &limit})
	value := Incompressible(Large)
	Must(produce(large(), []*sarama.ProducerMessage{{Topic: topic, Value: encoded(value)}}))
	Check(Same(readAll(ctx, topic, 1)[0].Value, value), "read back differently")
}

func transactional(id string) sarama.AsyncProducer {
	config := manual()
	config.Producer.Idempotent, config.Producer.RequiredAcks, config.Net.MaxOpenRequests = true, sarama.WaitForAll, 1
	config.Producer.Transaction.ID = id
	return Need(sarama.NewAsyncProducer(addresses(), config))
}

// transact writes one transaction, up to its end, and waits for every acknowledgement.
func transact(ctx context.Context, producer sarama.AsyncProducer, topic, row string, part rune) {
	Must(producer.BeginTxn())
	messages := numbered(topic, row+"-"+string(part), Transaction, func(index int) int32 { return int32(index % 3) })
	go func() {
		for _, message := range messages {
			producer.Input() <- message
		}
	}()
	for range messages {
		select {
		case <-producer.Successes():
		case failed := <-producer.Errors():
			Must(failed.Err)
		case <-ctx.Done():
			Must(ctx.Err())
		}
	}
}

// isolated reads the first records of three partitions, the same number of each.
func isolated(ctx context.Context, topic string, count int, level sarama.IsolationLevel) []Record {
	var read []Record
	for partition := range int32(3) {
		read = append(read, readIsolated(ctx, topic, partition, sarama.OffsetOldest, count/3, level)...)
	}
	return read
}

func transactions(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 3, nil)
	producer := transactional(topic)
	defer producer.AsyncClose()
	for _, part := range "abc" {
		transact(ctx, producer, topic, row, part)
		if part == 'b' {
			Must(producer.AbortTxn())
		} else {
			Must(producer.CommitTxn())
		}
	}
	CheckTransactions(row, "ac", isolated(ctx, topic, 2*Transaction, sarama.ReadCommitted))
	CheckTransactions(row, "abc", isolated(ctx, topic, 3*Transaction, sarama.ReadUncommitted))
}

func transactionFenced(ctx context.Context, row string) {
	topic := create(ctx, suite.Topic(row), 3, nil)
	first := transactional(topic)
	defer first.AsyncClose()
	transact(ctx, first, topic, row, 'a')
	second := transactional(topic)
	defer second.AsyncClose()
	err := first.CommitTxn()
	Check(errors.Is(err, sarama.ErrProducerFenced) || errors.Is(err, sarama.ErrInvalidProducerEpoch), "the older producer's commit gives %v", err)
	transact(ctx, second, topic, row, 'b')
	Must(second.CommitTxn())
	CheckTransactions(row, "b", isolated(ctx, topic, Transaction, sarama.ReadCommitted))
}

func transactionOffsets(ctx context.Context, row string) {
	source, sink := create(ctx, suite.Topic(row), 1, nil), create(ctx, suite.Topic(row+"-sink"), 3, nil)
	producer := transactional(sink)
	defer producer.AsyncClose()
	for _, part := range "ab" {
		transact(ctx, producer, sink, row, part)
		end := map[rune]int64{'a': 20, 'b': 40}[part]
		offsets := map[string][]*sarama.PartitionOffsetMetadata{source: {{Partition: 0, Offset: end}}}
		Must(producer.AddOffsetsToTxn(offsets, source))
		if part == 'a' {
			Must(producer.CommitTxn())
		} else {
			Must(producer.AbortTxn())
		}
		withAdmin(func(admin sarama.ClusterAdmin, _ sarama.Client) {
			// A commit is answered before its marker is in the group's log, here as in Kafka, and this client does not ask for
			// stable offsets only (KIP-447).
			WaitUntil(ctx, fmt.Sprintf("the committed offset after %c to be 20", part), func() bool {
				listed := Need(admin.ListConsumerGroupOffsets(source, map[string][]int32{source: {0}}))
				committed := listed.GetBlock(source, 0)
				return committed != nil && committed.Offset == 20
			})
		})
	}
	CheckTransactions(row, "a", isolated(ctx, sink, Transaction, sarama.ReadCommitted))
}

func consumerProtocol(context.Context, string) { NotSupported("the client knows the classic group protocol only") }

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
