//! Images without a model.

use loomwork_models::{Data, ErrorKind, ImageModel as _, ImageRequest, OfflineImages};

fn decoded(data: &Data) -> (u32, u32, Vec<u8>) {
    let bytes = data.bytes().expect("bytes").to_vec();
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("a PNG file");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut pixels).expect("an image");
    (info.width, info.height, pixels)
}

#[tokio::test]
async fn an_image_is_a_png_of_the_size_and_follows_from_prompt_and_seed() {
    let model = OfflineImages::default();
    let request = |prompt: &str, seed| ImageRequest {
        prompt: prompt.to_owned(),
        size: Some((320, 200)),
        count: 2,
        seed,
        ..ImageRequest::default()
    };
    let images = model.generate(request("A bird, drawn by nobody ✓", Some(7))).await.expect("images");
    assert_eq!((images.images.len(), images.usage.images), (2, 2));
    let (width, height, pixels) = decoded(&images.images[0].data);
    assert_eq!((width, height, pixels.len()), (320, 200, 320 * 200 * 3));
    // The label has ink, and the pattern has colours.
    assert!(pixels.chunks(3).filter(|pixel| *pixel == [35, 31, 32]).count() > 500);
    assert!(pixels.chunks(3).collect::<std::collections::HashSet<_>>().len() > 8);

    let again = model.generate(request("A bird, drawn by nobody ✓", Some(7))).await.expect("images");
    assert_eq!(images, again);
    let other_seed = model.generate(request("A bird, drawn by nobody ✓", Some(8))).await.expect("images");
    assert_eq!(images.images[1].data, other_seed.images[0].data);
    assert_ne!(images.images[0].data, other_seed.images[0].data);
    let other_prompt = model.generate(request("A fish", Some(7))).await.expect("images");
    assert_ne!(images.images[0].data, other_prompt.images[0].data);
}

#[tokio::test]
async fn images_of_any_prompt_and_of_odd_sizes_are_whole() {
    let model = OfflineImages::default();
    for size in [(16, 16), (17, 1_024), (1_024, 16), (333, 77)] {
        for prompt in ["", "x", "a very long prompt that goes on and on ".repeat(30).as_str(), "長い名前"]
        {
            let request =
                ImageRequest { prompt: prompt.to_owned(), size: Some(size), ..ImageRequest::default() };
            let images = model.generate(request).await.expect("an image");
            let (width, height, _) = decoded(&images.images[0].data);
            assert_eq!((width, height), size);
        }
    }
}

#[tokio::test]
async fn images_that_cannot_be_made_are_refused_and_edits_are_warned_of() {
    let model = OfflineImages::default();
    for (size, count) in [((0, 100), 1), ((5_000, 100), 1), ((100, 100), 11)] {
        let request = ImageRequest { size: Some(size), count, ..ImageRequest::default() };
        let error = model.generate(request).await.expect_err("bad input");
        assert_eq!((error.kind(), error.provider()), (&ErrorKind::BadRequest, "offline"));
    }
    let edit =
        ImageRequest { prompt: "x".into(), images: vec![Data::from(vec![0])], ..ImageRequest::default() };
    let images = model.generate(edit).await.expect("an image");
    assert_eq!(images.warnings[0].what, "images");
}
