// Command linearizability checks the histories of `python -m chaos` with Porcupine: of each order, the calls of all
// clients can be put into one sequence that respects their times and the promises of the API.
//
// Exit status 0: they can. 1: those of an order cannot. 2: a file cannot be read, or an order was not decided in time.
package main

import (
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/anishathalye/porcupine"
)

const (
	linearizable    = 0
	notLinearizable = 1
	notChecked      = 2
)

// limits are times after which the checker gives up.
type limits struct{ order, file time.Duration }

func main() {
	var most limits
	flag.DurationVar(&most.order, "order-within", 10*time.Second, "the longest time for one order")
	flag.DurationVar(&most.file, "file-within", time.Minute, "the longest time for one file")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: linearizability [flags] chaos-SEED-round-N.jsonl ...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 || most.order <= 0 || most.file <= 0 {
		flag.Usage()
		os.Exit(notChecked)
	}
	os.Exit(run(flag.Args(), most, os.Stdout, os.Stderr))
}

func run(paths []string, most limits, out, complaints io.Writer) int {
	violated, undecided := 0, 0
	for _, path := range paths {
		histories, err := open(path)
		if err != nil {
			fmt.Fprintf(complaints, "%s cannot be checked: %v\n", filepath.Base(path), err)
			undecided++
			continue
		}
		illegal, unknown := checkFile(filepath.Base(path), histories, most, out)
		violated, undecided = violated+illegal, undecided+unknown
	}
	switch {
	case violated > 0:
		return notLinearizable
	case undecided > 0:
		return notChecked
	default:
		return linearizable
	}
}

func open(path string) ([]history, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readHistories(file)
}

// checkFile writes one line about the file and some about each order that is not in order. It returns the numbers of
// orders that are not linearizable, and that were not decided in time.
func checkFile(name string, histories []history, most limits, out io.Writer) (int, int) {
	deadline := time.Now().Add(most.file)
	calls, start := 0, math.Inf(1)
	var illegal, unknown []history
	unexplained := map[string]call{}
	for _, h := range histories {
		calls, start = calls+len(h), min(start, h[0].Began)
		result, first := porcupine.Unknown, call{}
		if left := min(most.order, time.Until(deadline)); left > 0 {
			result, first = h.check(left)
		}
		switch result {
		case porcupine.Illegal:
			illegal, unexplained[h[0].Order] = append(illegal, h), first
		case porcupine.Unknown:
			unknown = append(unknown, h)
		}
	}
	fmt.Fprintf(out, "%s: %d calls of %d orders: %d not linearizable, %d not decided in time\n",
		name, calls, len(histories), len(illegal), len(unknown))
	for _, h := range illegal {
		fmt.Fprintf(out, "order %s is not linearizable:\n", h[0].Order)
		h.write(out, start, unexplained[h[0].Order])
	}
	for _, h := range unknown {
		fmt.Fprintf(out, "order %s was not decided in time: %d calls\n", h[0].Order, len(h))
	}
	return len(illegal), len(unknown)
}

// write writes a line for each call, indented. Times are seconds since `start`.
func (h history) write(out io.Writer, start float64, unexplained call) {
	for _, c := range h {
		told, mark := "no answer", ""
		switch {
		case c.succeeded():
			told = fmt.Sprintf("%d version %d %s of %s", c.HTTPStatus, c.Version, c.Status, c.OrderID)
		case c.HTTPStatus != 0:
			told = fmt.Sprint(c.HTTPStatus)
		}
		if c == unexplained {
			mark = "  <- nothing explains this"
		}
		ended := "     open"
		if c.Ended != 0 {
			ended = fmt.Sprintf("%9.4f", c.Ended-start)
		}
		fmt.Fprintf(out, "    %9.4f to %s  client %d  %-8s  %s%s\n", c.Began-start, ended, c.Client, c.Operation, told, mark)
	}
}
