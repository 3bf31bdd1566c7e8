const [url, order] = process.argv.slice(2);
const placed = await fetch(`${url}/orders`, {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: order,
});
console.log(placed.status);
const read = await fetch(url + placed.headers.get("Location"));
console.log(read.status);
console.log(await read.text());
