// Cleans records of vehicles as the pipeline of `cargo xtask pipelines bench --only speed` does, with Benthos, the engine of
// Redpanda Connect: a mapping in Bloblang between an input and an output of Kafka over franz-go, the client that Redpanda Connect
// has, too. At least once: offsets are committed when Benthos has acknowledged a batch, which it does when the output is written.
//
// Ends when it has written what came of COUNT records, and prints seconds from its first record on and CPU seconds since then, as JSON.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"

	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
)

const mapping = `
let battery = this.battery
root = match {
  this.status == "parked" => deleted(),
  $battery < 0 || $battery > 100 => throw("accepted_range(battery)"),
  _ => {
    "id": this.id, "device": this.device, "at": this.at, "lat": this.lat, "lon": this.lon,
    "kmh": this.speed * 3.6, "battery": $battery
  }
}
meta key = this.device
`

const batch = 10000

var (
	bootstrap = flag.String("bootstrap", "", "host:port")
	from      = flag.String("from", "", "the topic that is read")
	to        = flag.String("to", "", "the topic that is written")
	dead      = flag.String("dead", "", "the topic of dead letters")
	count     = flag.Int64("count", 0, "records to read")

	began   time.Time
	cpu     float64
	settled atomic.Int64
	done    = make(chan struct{})
)

func spent() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	seconds := func(time syscall.Timeval) float64 { return float64(time.Sec) + float64(time.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}

type input struct{ client *kgo.Client }

func (in *input) Connect(context.Context) error {
	if in.client != nil {
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(*bootstrap), kgo.ConsumeTopics(*from), kgo.ConsumerGroup(*to),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.AutoCommitMarks(), kgo.FetchMaxBytes(16<<20))
	in.client = client
	return err
}

func (in *input) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	for {
		fetches := in.client.PollRecords(ctx, batch)
		if err := fetches.Err(); err != nil {
			return nil, nil, err
		}
		records := fetches.Records()
		if len(records) == 0 {
			continue
		}
		if began.IsZero() {
			began, cpu = time.Now(), spent()
		}
		messages := make(service.MessageBatch, len(records))
		for i, record := range records {
			messages[i] = service.NewMessage(record.Value)
		}
		return messages, func(_ context.Context, err error) error {
			if err != nil {
				return err
			}
			in.client.MarkCommitRecords(records...)
			if settled.Add(int64(len(records))) == *count {
				close(done)
			}
			return nil
		}, nil
	}
}

func (in *input) Close(ctx context.Context) error {
	if in.client == nil {
		return nil
	}
	if err := in.client.CommitMarkedOffsets(ctx); err != nil {
		return err
	}
	in.client.Close()
	return nil
}

type output struct{ client *kgo.Client }

func (out *output) Connect(context.Context) error {
	if out.client != nil {
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(*bootstrap), kgo.ProducerLinger(5*time.Millisecond),
		kgo.ProducerBatchMaxBytes(1<<18), kgo.MaxBufferedRecords(1_000_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	out.client = client
	return err
}

func (out *output) WriteBatch(ctx context.Context, messages service.MessageBatch) error {
	records := make([]*kgo.Record, 0, len(messages))
	for _, message := range messages {
		value, err := message.AsBytes()
		if err != nil {
			return err
		}
		record := &kgo.Record{Topic: *to, Value: value}
		if reason := message.GetError(); reason != nil {
			letter, err := json.Marshal(map[string]string{"reason": reason.Error(), "value": string(value)})
			if err != nil {
				return err
			}
			record.Topic, record.Value = *dead, letter
		} else if key, has := message.MetaGet("key"); has {
			record.Key = []byte(key)
		}
		records = append(records, record)
	}
	return out.client.ProduceSync(ctx, records...).FirstErr()
}

func (out *output) Close(context.Context) error {
	if out.client != nil {
		out.client.Close()
	}
	return nil
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	flag.Parse()
	spec := service.NewConfigSpec()
	check(service.RegisterBatchInput("topic", spec, func(*service.ParsedConfig, *service.Resources) (service.BatchInput, error) {
		return service.AutoRetryNacksBatched(&input{}), nil
	}))
	check(service.RegisterBatchOutput("topic", spec,
		func(*service.ParsedConfig, *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
			return &output{}, service.BatchPolicy{}, 4, nil
		}))
	builder := service.NewStreamBuilder()
	check(builder.SetLoggerYAML("level: OFF"))
	check(builder.AddInputYAML("topic: {}"))
	check(builder.AddProcessorYAML("mapping: |\n" + indented(mapping)))
	check(builder.AddOutputYAML("topic: {}"))
	stream, err := builder.Build()
	check(err)
	go func() {
		<-done
		fmt.Printf("{\"seconds\": %f, \"cpu_seconds\": %f}\n", time.Since(began).Seconds(), spent()-cpu)
		check(stream.StopWithin(30 * time.Second))
	}()
	if err := stream.Run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// indented is text as a block of YAML.
func indented(text string) string {
	out := ""
	line := "  "
	for _, char := range text {
		line += string(char)
		if char == '\n' {
			out += line
			line = "  "
		}
	}
	return out + line
}
