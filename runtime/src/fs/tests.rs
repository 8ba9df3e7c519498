use std::fs::OpenOptions;
use std::io::{ErrorKind, SeekFrom};
use std::time::Duration;

use futures_util::StreamExt;

use super::*;
use crate::{Result, create_subprocess_exec, run, timeout};

fn in_folder(test: impl AsyncFnOnce(&Path) -> Result<()> + 'static) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    run(async move || test(&path).await).unwrap();
}

#[test]
fn the_everyday_calls_do_what_those_of_the_standard_library_do() {
    in_folder(async |folder| {
        let (one, two) = (folder.join("one"), folder.join("two"));
        write(&one, "text").await?;
        assert_eq!(read(&one).await?, b"text");
        assert_eq!(copy(&one, &two).await?, 4);
        rename(&two, folder.join("three")).await?;
        assert!(!try_exists(&two).await?);
        hard_link(&one, &two).await?;
        symlink("one", folder.join("link")).await?;
        assert_eq!(read_link(folder.join("link")).await?, Path::new("one"));
        assert!(symlink_metadata(folder.join("link")).await?.is_symlink());
        assert_eq!(metadata(folder.join("link")).await?.len(), 4);
        assert_eq!(canonicalize(folder.join("link")).await?, canonicalize(&one).await?);
        let mut permissions = metadata(&one).await?.permissions();
        permissions.set_readonly(true);
        set_permissions(&one, permissions).await?;
        assert!(metadata(&one).await?.permissions().readonly());

        create_dir_all(folder.join("a/b/c")).await?;
        assert_eq!(
            create_dir(folder.join("a")).await.unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        remove_dir(folder.join("a/b/c")).await?;
        remove_dir_all(folder.join("a")).await?;
        remove_file(&one).await?;
        let missing = read_to_string(&one).await.unwrap_err();
        // The error is the system's own.
        assert_eq!(missing.raw_os_error(), Some(libc::ENOENT));
        Ok(())
    });
}

#[test]
fn a_directory_is_listed_whole_also_when_it_is_large() {
    in_folder(async |folder| {
        for number in 0..300 {
            write(folder.join(number.to_string()), "").await?;
        }
        create_dir(folder.join("folder")).await?;
        let (mut files, mut folders) = (0, 0);
        let mut entries = read_dir(folder).await?;
        while let Some(entry) = entries.next_entry().await? {
            match entry.file_type().await?.is_dir() {
                true => folders += 1,
                false => files += 1,
            }
            assert!(entry.path().ends_with(entry.file_name()));
            assert_eq!(entry.metadata().await?.len() == 0, entry.file_type().await?.is_file());
        }
        assert_eq!((files, folders), (300, 1));
        assert!(entries.next_entry().await?.is_none());
        Ok(())
    });
}

#[test]
fn a_file_is_written_read_and_sought_at_its_own_position() {
    in_folder(async |folder| {
        let options = OpenOptions::new().read(true).write(true).create(true).to_owned();
        let mut file = File::open_with(&options, folder.join("file")).await?;
        file.write_all("0123456789").await?;
        assert_eq!(file.position(), 10);
        assert_eq!(file.seek(SeekFrom::Current(-4)).await?, 6);
        let mut other = file.clone();
        assert_eq!(&file.read(2).await?[..], b"67");
        assert_eq!(&other.read(100).await?[..], b"6789");
        assert_eq!(file.seek(SeekFrom::End(-1)).await?, 9);
        assert_eq!(
            file.seek(SeekFrom::End(-11)).await.unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(file.position(), 9);
        file.write_all_at(0, "ab").await?;
        file.set_len(3).await?;
        assert_eq!(&file.read_at(0, 100).await?[..], b"ab2");
        file.seek(SeekFrom::Start(1)).await?;
        assert_eq!(&file.read_to_end().await?[..], b"b2");
        file.sync_data().await?;
        drop(other);
        assert!(file.into_std().is_some());
        Ok(())
    });
}

#[test]
fn what_is_appended_goes_to_the_end() {
    in_folder(async |folder| {
        let path = folder.join("log");
        write(&path, "one\n").await?;
        let mut log = File::open_with(OpenOptions::new().append(true), &path).await?;
        log.write_all("two\n").await?;
        log.write_all("three\n").await?;
        assert_eq!(read_to_string(&path).await?, "one\ntwo\nthree\n");
        Ok(())
    });
}

#[test]
fn a_large_file_is_streamed_in_pieces() {
    in_folder(async |folder| {
        let path = folder.join("large");
        let bytes: Vec<u8> = (0..1_000_003_u32).map(|number| (number % 251) as u8).collect();
        write(&path, bytes.clone()).await?;
        let mut chunks = File::open(&path).await?.chunks(65_536);
        let mut seen = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            assert!(chunk.len() == 65_536 || seen.len() + chunk.len() == bytes.len());
            seen.extend_from_slice(&chunk);
        }
        assert!(seen == bytes);
        assert!(chunks.next().await.is_none());
        Ok(())
    });
}

#[test]
fn what_has_no_positions_is_read_as_it_comes() {
    in_folder(async |folder| {
        let path = folder.join("fifo");
        let made = create_subprocess_exec("mkfifo", [&path]).spawn().await?;
        assert_eq!(made.wait().await, 0);
        // Opening one end waits for the other, so the loop would stand still if it did so itself.
        let mut options = OpenOptions::new();
        let writes = File::open_with(options.write(true), &path);
        let both = futures_util::future::join(File::open(&path), writes);
        let (reading, writing) = timeout(Duration::from_secs(20), async |_| Ok(both.await)).await?;
        let (mut reading, mut writing) = (reading?, writing?);
        writing.write_all("a few").await?;
        assert_eq!(&reading.read(100).await?[..], b"a few");
        drop(writing);
        assert!(reading.read(100).await?.is_empty());
        Ok(())
    });
}

#[test]
fn temporary_files_have_no_name_and_directories_go_with_what_is_in_them() {
    in_folder(async |_| {
        let mut file = temporary_file().await?;
        file.write_all("kept while open").await?;
        assert_eq!(&file.read_at(5, 5).await?[..], b"while");
        assert_eq!(std::os::unix::fs::MetadataExt::nlink(&file.metadata().await?), 0);

        let (kept, dropped) = (temporary_dir().await?, temporary_dir().await?);
        assert_ne!(kept.path(), dropped.path());
        let path = dropped.path().to_owned();
        write(path.join("inside"), "x").await?;
        drop(dropped);
        assert!(!try_exists(path).await?);
        kept.remove().await?;
        Ok(())
    });
}

#[test]
fn off_a_loop_there_is_an_error() {
    let outcome = futures_util::FutureExt::now_or_never(read("/dev/null"));
    assert!(outcome.unwrap().is_err());
}
