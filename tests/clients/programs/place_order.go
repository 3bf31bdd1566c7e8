package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	url, order := os.Args[1], os.Args[2]
	placed, err := http.Post(url+"/orders", "application/json", strings.NewReader(order))
	if err != nil {
		panic(err)
	}
	placed.Body.Close()
	fmt.Println(placed.StatusCode)
	read, err := http.Get(url + placed.Header.Get("Location"))
	if err != nil {
		panic(err)
	}
	defer read.Body.Close()
	body, err := io.ReadAll(read.Body)
	if err != nil {
		panic(err)
	}
	fmt.Println(read.StatusCode)
	fmt.Println(string(body))
}
